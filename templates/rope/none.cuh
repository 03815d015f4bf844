#pragma once

#include "arguments.cuh"
#include "row/whole.cuh"

namespace octavo {

// No rotary embedding: K goes to the cache as it comes, and Q is left alone.
struct Rope {
  using Row = WholeRow;
  static constexpr int kDims = 0;

  static __device__ void rotate(float (&)[8], DeviceAddress, int, int) {}
};

}  // namespace octavo
