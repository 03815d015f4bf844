// A kernel's argument, as `octavo emulate --arg` spells it.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "tools/npy.hpp"

namespace octavo {

struct KernelArgument {
  std::string spec;
  std::vector<std::byte> value;  // as it is passed, unless it is a buffer
  std::optional<Array> buffer;   // in device memory, whose address is passed
};

// TYPE:VALUE                      a number: i32:5, f32:1.5
// buf:TYPE:COUNT                  zeros
// buf:TYPE:COUNT:uniform(SEED)    floats in [0, 1), integers of their whole range
// buf:FILE.npy
// bytes:FILE                      a struct by value
//
// The types are element_types(). Throws UsageError, one line that says what was expected, for
// anything else, a number outside its type's range, and files that cannot be read.
KernelArgument parse_kernel_argument(const std::string& spec);

}  // namespace octavo
