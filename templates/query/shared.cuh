#pragma once

#include "attention/query.cuh"

namespace octavo {

// The queries as operands, held in shared memory where they would take too many registers. The
// warps convert a part each.
class Query {
 public:
  static constexpr int kChunksAtOnce = 1;  // of K's rows: there are few registers to spare

  // Starts to read the warp's part.
  __device__ Query(const DecodeArguments& arguments, const Rows& rows, uint4* operands)
      : operands_(operands + lane_id()) {
#pragma unroll
    for (int tile = 0; tile < kRowTiles; ++tile) {
      rows_[tile] = QueryRows(arguments, rows, tile);
      for (int half = 0; half < 2; ++half) scale[tile][half] = rows_[tile].scale[half];
#pragma unroll
      for (int i = 0; i < kWarpSteps; ++i) {
        if (step(i) < kKeySteps) rows_[tile].read(words_[tile][i], step(i));
      }
    }
  }

  // Once the first copies are on their way.
  __device__ void convert() {
#pragma unroll
    for (int tile = 0; tile < kRowTiles; ++tile) {
#pragma unroll
      for (int i = 0; i < kWarpSteps; ++i) {
        if (step(i) >= kKeySteps) continue;
        unsigned a[4];
        rows_[tile].fragment(a, words_[tile][i]);
        operands_[(tile * kKeySteps + step(i)) * 32] = make_uint4(a[0], a[1], a[2], a[3]);
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
  static constexpr int kWarpSteps = (kKeySteps + kWarps - 1) / kWarps;

  static __device__ int step(int i) { return warp_id() + i * kWarps; }

  QueryRows rows_[kRowTiles];
  QueryWords words_[kRowTiles][kWarpSteps];
  uint4* operands_;  // [kRowTiles][kKeySteps][32 lanes]
};

}  // namespace octavo
