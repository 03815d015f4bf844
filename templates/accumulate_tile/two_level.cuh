#pragma once

#include "prefill/products.cuh"

namespace octavo {

// The tensor cores sum the products of kPromoteTokens tokens from zero, and fp32 additions sum
// these: the tensor cores' accumulator is narrow (14 bits for fp8). One sum is kChunk dims wide, as
// one of all dims would double O's registers.
struct Accumulation {
  // O becomes O * factor + P V. With kAhead, `start` starts one group of products behind it,
  // which is left to run; else none.
  template <bool kAhead, class Start>
  static __device__ void add(Outputs& outputs, const Weights& weights, unsigned values,
                             const float (&factor)[2], Start start) {
    float sums[2][kChunk / 2];
    multiply<0>(sums[0], weights, values);
    add_from<0, kAhead>(outputs, sums, weights, values, factor, start);
  }

 private:
  static constexpr int kSteps = kPromoteTokens / Mma::kStepTokens;  // of a sum
  static constexpr int kChunkSums = kTileTokens / kPromoteTokens;
  static constexpr int kSums = kHeadDimV / kChunk * kChunkSums;

  template <int kSum>
  static __device__ void multiply(float (&sum)[kChunk / 2], const Weights& weights,
                                  unsigned values) {
    wgmma_fence();
    multiply_values<kSum % kChunkSums * kSteps, kSteps, false>(sum, weights, values,
                                                               kSum / kChunkSums * kChunk);
    wgmma_commit_group();
  }

  // From one sum on: it is added while the next one is made.
  template <int kSum, bool kAhead, class Start>
  static __device__ void add_from(Outputs& outputs, float (&sums)[2][kChunk / 2],
                                  const Weights& weights, unsigned values, const float (&factor)[2],
                                  Start start) {
    constexpr bool kLast = kSum + 1 == kSums;
    if constexpr (kLast) {
      start();
    } else {
      multiply<kSum + 1>(sums[(kSum + 1) % 2], weights, values);
    }
    wgmma_wait_group<kLast ? kAhead : 1>();
    float(&sum)[kChunk / 2] = sums[kSum % 2];
    hold(sum);
#pragma unroll
    for (int i = 0; i < kChunk / 2; ++i) {
      float& output = outputs[kSum / kChunkSums * kChunk / 2 + i];
      output = kSum % kChunkSums == 0 ? fmaf(output, factor[i / 2 % 2], sum[i]) : output + sum[i];
    }
    if constexpr (!kLast) {
      add_from<kSum + 1, kAhead>(outputs, sums, weights, values, factor, start);
    }
  }
};

}  // namespace octavo
