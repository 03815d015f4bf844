#pragma once

#include "rope/rotate.cuh"
#include "row/halves.cuh"

namespace octavo {

// Rotary embedding that pairs dimension i with i + kRopeDims / 2.
struct Rope {
  using Row = HalvesRow;
  static constexpr int kDims = kRopeDims;

  static __device__ void rotate(float (&values)[8], DeviceAddress table, int position, int lane) {
    rotate_pairs<1, 4>(values, table, position, lane);
  }
};

}  // namespace octavo
