// Rotary embedding of the values that one lane holds, whichever of them form the pairs.
#pragma once

#include "arguments.cuh"
#include "ptx/memory.cuh"

namespace octavo {

// Rotates the four pairs of a lane, pairs 4 * lane to 4 * lane + 3 of the row, by the angles of its
// position: values[kStep * i] with values[kStep * i + kPartner]. A negative position leaves the row
// as it is, and so do lanes beyond the rotated dimensions.
template <int kStep, int kPartner>
__device__ void rotate_pairs(float (&values)[8], DeviceAddress table, int position, int lane) {
  if (lane >= kRopeDims / 8 || position < 0) return;
  const long long start = static_cast<long long>(position) * kRopeDims + 8 * lane;
  float angles[2][4];  // cosine and sine of two pairs, twice
  ld_global(angles[0], table + start * 4);
  ld_global(angles[1], table + start * 4 + 16);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float cosine = angles[i / 2][i % 2 * 2];
    const float sine = angles[i / 2][i % 2 * 2 + 1];
    float& a = values[kStep * i];
    float& b = values[kStep * i + kPartner];
    const float rotated = fmaf(b, -sine, a * cosine);
    b = fmaf(a, sine, b * cosine);
    a = rotated;
  }
}

}  // namespace octavo
