#pragma once

#include "prefill/products.cuh"

namespace octavo {

// Products are summed by the tensor cores, from the first token to the last; the weights' sums of a
// tile join in fp32.
struct Accumulation {
  // O becomes O * rescale + P V, and the weights' sums likewise.
  static __device__ void add(Totals& totals, const Weights& weights, unsigned values,
                             const Rescale& rescale) {
    rescale_outputs(totals.outputs, rescale.outputs);
    hold(totals.outputs);
    wgmma_fence();
    float columns[4];  // of ones
    if constexpr (Values::kOnes > 0) {
      multiply_values<0, kTileSteps, false>(columns, weights, values, kHeadDimV);
    }
    multiply_values<0, kTileSteps, true>(totals.outputs, weights, values, 0);
    wgmma_commit_group();
    wgmma_wait_group<0>();
    hold(totals.outputs);
    if constexpr (Values::kOnes > 0) hold(columns);
    for (int half = 0; half < 2; ++half) {
      const float sum = Values::kOnes > 0 ? Values::sum(columns + 2 * half) : weights.sums[half];
      totals.sums[half] = totals.sums[half] * rescale.sums[half] + sum;
    }
  }

 private:
  // The maximum seldom changes after the first tiles, and then there is nothing to do.
  static __device__ void rescale_outputs(Outputs& outputs, const float (&factor)[2]) {
    if (__any_sync(0xffffffff, factor[0] != 1 || factor[1] != 1)) {
#pragma unroll
      for (int i = 0; i < kHeadDimV / 2; ++i) outputs[i] *= factor[i / 2 % 2];
    }
  }
};

}  // namespace octavo
