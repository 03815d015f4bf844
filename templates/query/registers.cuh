#pragma once

#include "attention/query.cuh"

namespace octavo {

// The queries as operands, held in registers.
class Query {
 public:
  static constexpr int kChunksAtOnce = (kKeyUnits + 3) / 4;  // of K's rows: all

  // Starts to read them.
  __device__ Query(const DecodeArguments& arguments, const Rows& rows, uint4*) {
#pragma unroll
    for (int tile = 0; tile < kRowTiles; ++tile) {
      rows_[tile] = QueryRows(arguments, rows, tile);
      for (int half = 0; half < 2; ++half) scale[tile][half] = rows_[tile].scale[half];
#pragma unroll
      for (int step = 0; step < kKeySteps; ++step) rows_[tile].read(words_[tile][step], step);
    }
  }

  // Once the first copies are on their way.
  __device__ void convert() {
#pragma unroll
    for (int tile = 0; tile < kRowTiles; ++tile) {
#pragma unroll
      for (int step = 0; step < kKeySteps; ++step) {
        rows_[tile].fragment(operands_[tile][step], words_[tile][step]);
      }
    }
  }

  __device__ void operand(unsigned (&a)[4], int tile, int step) const {
    for (int i = 0; i < 4; ++i) a[i] = operands_[tile][step][i];
  }

  float scale[kRowTiles][2];  // of the lane's rows

 private:
  QueryRows rows_[kRowTiles];
  QueryWords words_[kRowTiles][kKeySteps];
  unsigned operands_[kRowTiles][kKeySteps][4];
};

}  // namespace octavo
