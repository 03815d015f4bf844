#pragma once

#include "attention/query.cuh"

namespace octavo {

// The queries as operands, held in shared memory where they would take too many registers. The
// warps convert a part each.
class Query {
 public:
  static constexpr int kChunksAtOnce = 1;  // of K's rows: there are few registers to spare

  __device__ Query(const DecodeArguments& arguments, const Rows& rows, uint4* operands)
      : operands_(operands + lane_id()) {
#pragma unroll
    for (int tile = 0; tile < kRowTiles; ++tile) {
      const QueryRows queries(arguments, rows, tile);
      for (int half = 0; half < 2; ++half) scale[tile][half] = queries.scale[half];
      for (int step = warp_id(); step < kKeySteps; step += kWarps) {
        unsigned a[4];
        queries.fragment(a, step);
        operands_[(tile * kKeySteps + step) * 32] = make_uint4(a[0], a[1], a[2], a[3]);
      }
    }
    __syncthreads();
  }

  __device__ void operand(unsigned (&a)[4], int tile, int step) const {
    const uint4 words = operands_[(tile * kKeySteps + step) * 32];
    a[0] = words.x, a[1] = words.y, a[2] = words.z, a[3] = words.w;
  }

  float scale[kRowTiles][2];  // of the lane's rows

 private:
  uint4* operands_;  // [kRowTiles][kKeySteps][32 lanes]
};

}  // namespace octavo
