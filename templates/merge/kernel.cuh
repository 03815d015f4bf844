#pragma once

#include "arguments.cuh"

namespace octavo {

// The splits' parts are merged by a kernel of its own.
struct Merge {
  __device__ void start(const DecodeArguments&) {}
  __device__ bool is_mine(const DecodeArguments&) const { return false; }
};

}  // namespace octavo
