#pragma once

#include "arguments.cuh"

namespace octavo {

// The splits' results are merged by a kernel of its own.
struct Merge {
  static __device__ bool is_last(const DecodeArguments&, unsigned&) { return false; }
};

}  // namespace octavo
