#pragma once

#include "attention/merge_rows.cuh"
#include "attention/softmax.cuh"

namespace octavo {

// What the warps hand each other at the end, in the memory that their tiles were in.
struct Combination {
  float2 statistics[kWarps][kRows];  // maximum and sum
  float4 outputs[kWarps][kRowTiles][kDimTiles][32];
};

// A row of the block: its maximum and sum over the warps.
inline __device__ float2 row_statistics(const Combination& shared, int row) {
  float maximum = minus_infinity();
  for (int warp = 0; warp < kWarps; ++warp) {
    maximum = fmaxf(maximum, shared.statistics[warp][row].x);
  }
  float sum = 0;
  for (int warp = 0; warp < kWarps; ++warp) {
    const float2 part = shared.statistics[warp][row];
    sum += part.y * ex2_approx_ftz(part.x - finite(maximum));
  }
  return {maximum, sum};
}

// Leaves the warp's results for all to see, in units that all share.
inline __device__ void share_results(Combination& shared, const Softmax& softmax,
                                     const Outputs& outputs) {
  const int g = lane_id() / 4;
#pragma unroll
  for (int tile = 0; tile < kRowTiles; ++tile) {
    for (int half = 0; half < 2; ++half) {
      const float sum = quad_sum(softmax.sum[tile][half]);
      if (lane_id() % 4 == 0) {
        shared.statistics[warp_id()][16 * tile + g + 8 * half] = {softmax.maximum[tile][half], sum};
      }
    }
  }
  __syncthreads();
#pragma unroll
  for (int tile = 0; tile < kRowTiles; ++tile) {
    float factor[2];
    for (int half = 0; half < 2; ++half) {
      const float maximum = row_statistics(shared, 16 * tile + g + 8 * half).x;
      factor[half] = ex2_approx_ftz(softmax.maximum[tile][half] - finite(maximum)) * softmax.unit;
    }
#pragma unroll
    for (int i = 0; i < kDimTiles; ++i) {
      const float(&o)[4] = outputs[tile][i];
      shared.outputs[warp_id()][tile][i][lane_id()] = {o[0] * factor[0], o[1] * factor[0],
                                                       o[2] * factor[1], o[3] * factor[1]};
    }
  }
  __syncthreads();
}

// Eight dims of a row, summed over the warps.
inline __device__ void sum_outputs(float (&values)[8], const Combination& shared, int row,
                                   int octet) {
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const DimPlace place = place_of_dim(octet * 8 + i);
    const int lane = row % 8 * 4 + place.column / 2;
    const int element = place.column % 2 + row % 16 / 8 * 2;
    values[i] = 0;
    for (int warp = 0; warp < kWarps; ++warp) {
      const float4& four = shared.outputs[warp][row / 16][place.tile][lane];
      values[i] += reinterpret_cast<const float*>(&four)[element];
    }
  }
}

inline __device__ void store_partial(const DecodeArguments& arguments, const Rows& rows, int row,
                                     int octet, const float (&values)[8], float lse) {
  const long long rows_of_split = static_cast<long long>(arguments.batch.tokens) * kQueryHeads;
  const long long index = blockIdx.x * rows_of_split + index_of(rows, row);
  if (octet == 0) reinterpret_cast<float*>(arguments.partial_lse)[index] = lse;
  float4* part =
      reinterpret_cast<float4*>(arguments.partial_output) + (index * kHeadDimV + octet * 8) / 4;
  part[0] = {values[0], values[1], values[2], values[3]};
  part[1] = {values[4], values[5], values[6], values[7]};
}

// Combines the warps' results and writes the block's: output itself, or its split's part of it.
inline __device__ void combine(const DecodeArguments& arguments, const Rows& rows,
                               const Softmax& softmax, const Outputs& outputs,
                               Combination& shared) {
  __syncthreads();  // until no warp needs its tiles any more
  share_results(shared, softmax, outputs);
  for (int i = threadIdx.x; i < rows.count * kOctets; i += kThreads) {
    const int row = i / kOctets;
    const int octet = i % kOctets;
    const float2 statistics = row_statistics(shared, row);
    float values[8];
    sum_outputs(values, shared, row, octet);
    const float reciprocal = statistics.y > 0 ? 1 / statistics.y : 0;
    for (float& value : values) value *= reciprocal;
    const float lse = statistics.x + lg2_approx_ftz(statistics.y) - Mma::kWeightExponent;
    if (arguments.splits == 1) {
      finish(arguments, rows, row, octet, values, lse);
    } else {
      store_partial(arguments, rows, row, octet, values, lse);
    }
  }
}

}  // namespace octavo
