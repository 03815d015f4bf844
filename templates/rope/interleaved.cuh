#pragma once

#include "rope/rotate.cuh"
#include "row/whole.cuh"

namespace octavo {

// Rotary embedding that pairs dimension 2i with 2i + 1.
struct Rope {
  using Row = WholeRow;
  static constexpr int kDims = kRopeDims;

  static __device__ void rotate(float (&values)[8], DeviceAddress table, int position, int lane) {
    rotate_pairs<2, 1>(values, table, position, lane);
  }
};

}  // namespace octavo
