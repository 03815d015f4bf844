// Source: the CUDA text of one kernel, self-contained and byte-for-byte deterministic.
#pragma once

#include <string>

#include "generator/plan.hpp"

namespace octavo {

struct Source {
  std::string text;   // banner, constants, policies, skeleton
  std::string entry;  // the kernel's extern "C" name
};

Source emit(const Plan& plan);

}  // namespace octavo
