#pragma once

#include "prefill/strips.cuh"

namespace octavo {

// V's columns of ones of tokens that have no scales of their own, once for all tiles.
inline __device__ void store_ones(const Memory& memory) {
  if constexpr (Values::kOnes > 0 && !Scale::kPerToken) {
    using Operand = Values::Operand;
    const float ones[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    unsigned words[2 * Cache::kBytes];
    Cache::pack(words, ones);
    constexpr int kUnits = Values::kOnes * Operand::kUnits;  // of a stage
    for (int i = threadIdx.x; i < kStages * kUnits; i += kThreads) {
      const int row = kHeadDimV + i % 8, unit = i % kUnits / 8;
      char* const values = memory.at(memory.values(i / kUnits));
      *reinterpret_cast<uint4*>(values + Operand::unit(row, unit)) = {words[0], words[0], words[0],
                                                                      words[0]};
    }
    fence_proxy_async();
  }
}

// Those of the warp's tokens of a tile, in the order that V's have. Weights that were multiplied by
// factors count for what they were: even columns have the factors' reciprocals up to kOddColumns,
// odd ones the larger, divided by it. A factor below 2^-16 leaves its weight so few of e4m3's bits
// that it may count for less.
inline __device__ void store_ones(const Memory& memory, const Stage& stage) {
  using Operand = Values::Operand;
  const int lane = mov_laneid();  // the producer has no registers for places all the while
  const int row = lane % 16 / 4 * 2, t = lane % 4;
  char* const values = memory.at(memory.values(stage.index)) + 4 * t;
#pragma unroll 1
  for (int i = lane / 16; i < kWarpStrips; i += 2) {
    const int strip = first_strip_of_warp() + i;
    if (kStrips % 4 != 0 && strip >= kStrips) break;
    const float* const exponents = memory.factors(stage) + 16 * strip;
    float columns[8];  // an even one's four tokens, then an odd one's
    for (int j = 0; j < 4; ++j) {
      const int exponent = static_cast<int>(exponents[2 * t + j % 2 + j / 2 * 8]);
      const float reciprocal = __uint_as_float(127 - exponent << 23);
      const bool odd = reciprocal > Values::kOddColumns;
      columns[j] = odd ? 0 : reciprocal;
      columns[4 + j] = odd ? reciprocal * (1 / Values::kOddColumns) : 0;
    }
    unsigned words[2 * Cache::kBytes];
    Cache::pack(words, columns);
    for (int j = 0; j < 2; ++j) {
      *reinterpret_cast<unsigned*>(values + Operand::unit(kHeadDimV + row + j, strip)) = words[j];
    }
  }
}

}  // namespace octavo
