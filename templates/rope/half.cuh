#pragma once

#include "arguments.cuh"
#include "ptx/memory.cuh"
#include "ptx/shuffle.cuh"

namespace octavo {

// Rotary embedding that pairs dimension i with i + kRopeDims / 2.
struct Rope {
  static constexpr int kDims = kRopeDims;

  // Rotates a row, of which this lane holds dimensions 8 * lane to 8 * lane + 7, by its position's
  // angles. A negative position leaves the row as it is.
  static __device__ void rotate(float (&values)[8], DeviceAddress table, int position, int lane) {
    constexpr int kHalfLanes = kRopeDims / 16;
    const bool rotated = lane < 2 * kHalfLanes && position >= 0;
    const bool upper = lane >= kHalfLanes;
    const int partner = !rotated ? 0 : upper ? -kHalfLanes : kHalfLanes;

    float angles[4][4] = {};  // cosine and sine of two pairs, four times
    if (rotated) {
      const int first = upper ? lane - kHalfLanes : lane;
      const long long start = static_cast<long long>(position) * kRopeDims + 16 * first;
#pragma unroll
      for (int i = 0; i < 4; ++i) ld_global(angles[i], table + (start + 4 * i) * 4);
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const float other = shfl_idx(values[i], threadIdx.x + partner);
      const float cosine = angles[i / 2][i % 2 * 2];
      const float sine = angles[i / 2][i % 2 * 2 + 1];
      if (rotated) values[i] = fmaf(other, upper ? sine : -sine, values[i] * cosine);
    }
  }
};

}  // namespace octavo
