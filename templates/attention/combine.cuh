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
#pragma unroll 2
  for (int warp = 0; warp < kWarps; ++warp) {
    maximum = fmaxf(maximum, shared.statistics[warp][row].x);
  }
  float sum = 0;
#pragma unroll 2
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

// Four dims of a row, summed over the warps.
inline __device__ void sum_outputs(float (&values)[4], const Combination& shared, int row,
                                   int quad) {
  const float* place[4];  // in the first warp's outputs
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const DimPlace dim = place_of_dim(quad * 4 + i);
    const float4& four = shared.outputs[0][row / 16][dim.tile][row % 8 * 4 + dim.column / 2];
    place[i] = &four.x + dim.column % 2 + row % 16 / 8 * 2;
    values[i] = 0;
  }
#pragma unroll 2
  for (int warp = 0; warp < kWarps; ++warp) {
    for (int i = 0; i < 4; ++i) values[i] += place[i][warp * kRowTiles * kDimTiles * 32 * 4];
  }
}

inline __device__ void store_partial(const DecodeArguments& arguments, const Rows& rows, int row,
                                     int quad, const float (&values)[4], float lse) {
  const long long rows_of_split = static_cast<long long>(arguments.batch.tokens) * kQueryHeads;
  const long long index = blockIdx.x * rows_of_split + index_of(rows, row);
  if (quad == 0) reinterpret_cast<float*>(arguments.partial_lse)[index] = lse;
  reinterpret_cast<float4*>(arguments.partial_output)[index * kQuads + quad] = {
      values[0], values[1], values[2], values[3]};
}

// Combines the warps' results and writes the block's: output itself, or its split's part of it.
inline __device__ void combine(const DecodeArguments& arguments, const Rows& rows,
                               const Softmax& softmax, const Outputs& outputs,
                               Combination& shared) {
  __syncthreads();  // until no warp needs its tiles any more
  share_results(shared, softmax, outputs);
  for (int i = threadIdx.x; i < rows.count * kQuads; i += kThreads) {
    const int row = i / kQuads;
    const int quad = i % kQuads;
    const float2 statistics = row_statistics(shared, row);
    float values[4];
    sum_outputs(values, shared, row, quad);
    const float reciprocal = statistics.y > 0 ? 1 / statistics.y : 0;
    for (float& value : values) value *= reciprocal;
    const float lse = statistics.x + lg2_approx_ftz(statistics.y) - Mma::kWeightExponent;
    if (arguments.splits == 1) {
      finish(arguments, rows, row, quad, values, lse);
    } else {
      store_partial(arguments, rows, row, quad, values, lse);
    }
  }
}

}  // namespace octavo
