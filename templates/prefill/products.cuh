#pragma once

#include "prefill/memory.cuh"
#include "ptx/wgmma_group.cuh"

namespace octavo {

constexpr int kTokenTiles = kTileTokens / 8;                // columns of S by 8
constexpr int kTileSteps = kTileTokens / Mma::kStepTokens;  // products deep is P V of a tile

// A lane's part of 64 rows: of each 8 columns, 2t and 2t + 1 of row g, then of row g + 8.
using Scores = float[kTileTokens / 2];
using Outputs = float[kHeadDimV / 2];
using Weights = unsigned[kTileSteps][4];

// Starts S = Q K^T, one group of products.
inline __device__ void multiply_keys(Scores& scores, unsigned query, unsigned keys) {
  const unsigned long long a = QueryMatrix::descriptor(query);
  const unsigned long long b = KeyMatrix::descriptor(keys);
  wgmma_fence();
#pragma unroll
  for (int byte = 0; byte < QueryMatrix::kUnits * 16; byte += 32) {
    wgmma(scores, a + QueryMatrix::along(byte), b + KeyMatrix::along(byte), byte > 0);
  }
  wgmma_commit_group();
}

// P V of kSteps products' tokens, from the first one's on, and of as many dims as there are sums.
template <int kFirst, int kSteps, bool kAccumulate, int kSums>
inline __device__ void multiply_values(float (&sums)[kSums], const Weights& weights,
                                       unsigned values, int dim) {
  const unsigned long long b = Values::Operand::descriptor(values);
#pragma unroll
  for (int step = kFirst; step < kFirst + kSteps; ++step) {
    wgmma(sums, weights[step], b + Values::offset(step, dim), kAccumulate || step > kFirst);
  }
}

}  // namespace octavo
