#pragma once

#include "prefill/query.cuh"
#include "ptx/wgmma_group.cuh"

namespace octavo {

constexpr int kTokenTiles = kTileTokens / 8;                // columns of S by 8
constexpr int kTileSteps = kTileTokens / Mma::kStepTokens;  // products deep is P V of a tile

// A lane's part of 64 rows: of each 8 columns, 2t and 2t + 1 of row g, then of row g + 8.
using Scores = float[kTileTokens / 2];
using Outputs = float[kHeadDimV / 2];

// A tile's weights as operands, a product's registers being upper and lower rows of the first half
// of its tokens, then of the second; and their sums over the lane's columns, unless V has columns
// of ones.
struct Weights {
  unsigned steps[kTileSteps][4];
  float sums[2];
};

// What the lane's two rows have so far, and what it is multiplied by before more joins it. Without
// columns of ones `sums` is a part: the lane's.
struct Totals {
  Outputs outputs = {};
  float sums[2] = {};  // of the weights
};
struct Rescale {
  float outputs[2];
  float sums[2];
};

// S = Q K^T, from product kStep on.
template <int kStep = 0>
inline __device__ void multiply_keys(Scores& scores, const Queries& queries,
                                     unsigned long long keys) {
  wgmma(scores, queries.operand<kStep>(), keys + KeyMatrix::along(32 * kStep), kStep > 0);
  if constexpr (kStep + 1 < Queries::kSteps) multiply_keys<kStep + 1>(scores, queries, keys);
}

// Starts S = Q K^T, one group of products.
inline __device__ void start_scores(Scores& scores, const Queries& queries, unsigned keys) {
  wgmma_fence();
  multiply_keys(scores, queries, KeyMatrix::descriptor(keys));
  wgmma_commit_group();
}

// Weights as operands. Where queries take registers the last come first: ptxas gives weights those
// of the last logits, and has none of these to move away then. Sum is a parameter for it to need no
// way to add where nothing is added.
template <class Sum = Mma::WeightSum>
inline __device__ void pack(Weights& packed, const Scores& weights) {
  constexpr int kTiles = Mma::kPack / 2;  // of 8 tokens, in a register
  Sum sums[2];
#pragma unroll
  for (int n = 0; n < 4 * kTileSteps; ++n) {
    const int i = kQuerySteps > 0 ? 4 * kTileSteps - 1 - n : n;
    const int half = i % 2;
    const int first = i / 4 * Mma::kStepTokens / 8 + i % 4 / 2 * kTiles;
    float values[Mma::kPack];
    for (int j = 0; j < Mma::kPack; ++j) {
      values[j] = weights[4 * (first + j / 2) + 2 * half + j % 2];
    }
    unsigned& word = packed.steps[i / 4][i % 4];
    word = Mma::pack(values);
    if constexpr (Values::kOnes == 0) sums[half].add(word);
  }
  for (int half = 0; half < 2; ++half) packed.sums[half] = sums[half].value();
}

// P V of kSteps products' tokens, from the first one's on, and of as many dims as there are sums.
template <int kFirst, int kSteps, bool kAccumulate, int kSums>
inline __device__ void multiply_values(float (&sums)[kSums], const Weights& weights,
                                       unsigned values, int dim) {
  const unsigned long long b = Values::Operand::descriptor(values);
#pragma unroll
  for (int step = kFirst; step < kFirst + kSteps; ++step) {
    wgmma(sums, weights.steps[step], b + Values::offset(step, dim), kAccumulate || step > kFirst);
  }
}

}  // namespace octavo
