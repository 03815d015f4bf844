#pragma once

#include "attention/merge_parts.cuh"
#include "attention/softmax.cuh"

namespace octavo {

// The warps' parts, in the memory that their tiles were in.
struct WarpParts {
  float4 outputs[kWarps][kRows][kQuads];
  float lse[kWarps][kRows];
};

// A lane's values of one row, each times `factor`. In each part of a row of V they are those of the
// two columns 2t and 2t + 1, whose dims are neighbours.
template <int kByte = 0>
inline __device__ void store_row(float4* quads, int row, const float (&outputs)[kDimTiles][4],
                                 int half, float factor) {
  if constexpr (kByte < kValueBytes) {
    constexpr int kFirst = kByte / Cache::kBytes;
    constexpr int kEighth = part_bytes(kByte) / Cache::kBytes / 8;  // dims of a column
    const auto value = [&](int i) {
      return outputs[kFirst / 8 + i % kEighth][2 * half + i / kEighth] * factor;
    };
    const int first = kFirst + lane_id() % 4 * 2 * kEighth;
    if constexpr (kEighth == 1) {
      reinterpret_cast<float2*>(quads)[first / 2] = {value(0), value(1)};
    } else {
      const int lane = swizzled_quad(row, first / 4);  // shares no bit with i / 4
#pragma unroll
      for (int i = 0; i < 2 * kEighth; i += 4) {
        quads[lane ^ i / 4] = {value(i), value(i + 1), value(i + 2), value(i + 3)};
      }
    }
    store_row<kByte + part_bytes(kByte)>(quads, row, outputs, half, factor);
  }
}

// Leaves the warp's part for all to see, and returns those of all.
inline __device__ Parts share_parts(WarpParts& parts, const Rows& rows, const Softmax& softmax,
                                    const Outputs& outputs) {
  __syncthreads();  // until no warp needs its tiles any more
#pragma unroll
  for (int tile = 0; tile < kRowTiles; ++tile) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = 16 * tile + lane_id() / 4 + 8 * half;
      const float sum = quad_sum(softmax.sum[tile][half]);
      const float factor = sum > 0 ? softmax.unit * rcp_approx_ftz(sum) : 0;
      if (row >= rows.count) continue;
      store_row(parts.outputs[warp_id()][row], row, outputs[tile], half, factor);
      if (lane_id() % 4 == 0) {
        parts.lse[warp_id()][row] =
            softmax.maximum[tile][half] + lg2_approx_ftz(sum) - Mma::kWeightExponent;
      }
    }
  }
  __syncthreads();
  return {parts.outputs[0][0], parts.lse[0], kWarps, kRows, false};
}

}  // namespace octavo
