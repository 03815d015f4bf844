#pragma once

#include "attention/rows.cuh"

namespace octavo {

// The splits' results are merged by a kernel of its own.
struct Merge {
  static __device__ void after_split(const DecodeArguments&, const Rows&, unsigned&) {}
};

}  // namespace octavo
