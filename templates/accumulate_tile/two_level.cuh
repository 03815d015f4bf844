#pragma once

#include "prefill/products.cuh"

namespace octavo {

// The tensor cores sum the products of kPromoteTokens tokens from zero, and fp32 additions sum
// these parts: the tensor cores' accumulator is narrow (14 bits for fp8). A part is kChunk dims
// wide, as one of all dims would double O's registers; the last ones have V's columns of ones too.
struct Accumulation {
  // O becomes O * rescale + P V, and the weights' sums likewise.
  static __device__ void add(Totals& totals, const Weights& weights, unsigned values,
                             const Rescale& rescale) {
    if constexpr (kColumns == 0) {
      for (int half = 0; half < 2; ++half) {
        totals.sums[half] = totals.sums[half] * rescale.sums[half] + weights.sums[half];
      }
    }
    float part[kChunk / 2];
    float last[kChunk / 2 + kColumns];
    add_from<0>(totals, part, last, weights, values, rescale);
  }

 private:
  static constexpr int kSteps = kPromoteTokens / Mma::kStepTokens;  // of a part
  static constexpr int kChunkParts = kTileTokens / kPromoteTokens;
  static constexpr int kParts = kHeadDimV / kChunk * kChunkParts;
  static constexpr int kColumns = Values::kOnes / 2;  // of ones, that a lane has: two of each row

  // From one part on, one after the other in the same registers, as there are none for more. While
  // a consumer waits for one, the others have their turns.
  template <int kPart>
  static __device__ void add_from(Totals& totals, float (&part)[kChunk / 2],
                                  float (&last)[kChunk / 2 + kColumns], const Weights& weights,
                                  unsigned values, const Rescale& rescale) {
    if constexpr (kPart < kParts - kChunkParts) {
      add<kPart>(totals, part, weights, values, rescale);
    } else {
      add<kPart>(totals, last, weights, values, rescale);
    }
    if constexpr (kPart + 1 < kParts) {
      add_from<kPart + 1>(totals, part, last, weights, values, rescale);
    }
  }

  template <int kPart, int kSums>
  static __device__ void add(Totals& totals, float (&part)[kSums], const Weights& weights,
                             unsigned values, const Rescale& rescale) {
    constexpr bool kFirst = kPart % kChunkParts == 0;  // of its dims
    constexpr int kDim = kPart / kChunkParts * kChunk;
    wgmma_fence();
    multiply_values<kPart % kChunkParts * kSteps, kSteps, false>(part, weights, values, kDim);
    wgmma_commit_group();
    wgmma_wait_group<0>();
    hold(part);
#pragma unroll
    for (int i = 0; i < kChunk / 2; ++i) {
      float& output = totals.outputs[kDim / 2 + i];
      output = kFirst ? fmaf(output, rescale.outputs[i / 2 % 2], part[i]) : output + part[i];
    }
    if constexpr (kSums > kChunk / 2) {
      for (int half = 0; half < 2; ++half) {
        const float sum = Values::sum(&part[kChunk / 2 + 2 * half]);
        totals.sums[half] = totals.sums[half] * (kFirst ? rescale.sums[half] : 1) + sum;
      }
    }
  }
};

}  // namespace octavo
