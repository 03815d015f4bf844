#pragma once

#include "arguments.cuh"
#include "ptx/memory.cuh"

namespace octavo {

// Rotary embedding that pairs dimension 2i with 2i + 1.
struct Rope {
  static constexpr int kDims = kRopeDims;

  // Rotates a row, of which this lane holds dimensions 8 * lane to 8 * lane + 7, by its position's
  // angles. A negative position leaves the row as it is.
  static __device__ void rotate(float (&values)[8], DeviceAddress table, int position, int lane) {
    if (lane >= kRopeDims / 8 || position < 0) return;
    const long long start = static_cast<long long>(position) * kRopeDims + 8 * lane;
    for (int i = 0; i < 2; ++i) {
      float angles[4];  // cosine and sine of two pairs
      ld_global(angles, table + (start + 4 * i) * 4);
      rotate_pair(values[4 * i], values[4 * i + 1], angles[0], angles[1]);
      rotate_pair(values[4 * i + 2], values[4 * i + 3], angles[2], angles[3]);
    }
  }

 private:
  static __device__ void rotate_pair(float& first, float& second, float cosine, float sine) {
    const float rotated = fmaf(second, -sine, first * cosine);
    second = fmaf(first, sine, second * cosine);
    first = rotated;
  }
};

}  // namespace octavo
