#pragma once

#include "prefill/products.cuh"

namespace octavo {

// Products are summed by the tensor cores, from the first token to the last.
struct Accumulation {
  // O becomes O * factor + P V. With kAhead, `start` starts one group of products behind it,
  // which is left to run; else none.
  template <bool kAhead, class Start>
  static __device__ void add(Outputs& outputs, const Weights& weights, unsigned values,
                             const float (&factor)[2], Start start) {
    rescale(outputs, factor);
    hold(outputs);
    wgmma_fence();
    multiply_values<0, kTileSteps, true>(outputs, weights, values, 0);
    wgmma_commit_group();
    start();
    wgmma_wait_group<kAhead>();
    hold(outputs);
  }

 private:
  // The maximum seldom changes after the first tiles, and then there is nothing to do.
  static __device__ void rescale(Outputs& outputs, const float (&factor)[2]) {
    if (__any_sync(0xffffffff, factor[0] != 1 || factor[1] != 1)) {
#pragma unroll
      for (int i = 0; i < kHeadDimV / 2; ++i) outputs[i] *= factor[i / 2 % 2];
    }
  }
};

}  // namespace octavo
