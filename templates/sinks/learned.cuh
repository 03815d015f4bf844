#pragma once

#include "arguments.cuh"
#include "ptx/special.cuh"

namespace octavo {

// What joins the softmax's denominator besides the tokens: a logit that each query head has
// learned.
struct Sinks {
  // Adds the sink to a row's log-sum-exp (base 2) and returns what the row's output shrinks by.
  static __device__ float join(const PrefillArguments& arguments, int query_head, float& lse) {
    constexpr float kLog2E = 1.44269504f;
    const float sink = reinterpret_cast<const float*>(arguments.sinks)[query_head] * kLog2E;
    const float maximum = fmaxf(lse, sink);
    const float tokens = ex2_approx_ftz(lse - maximum);
    const float all = tokens + ex2_approx_ftz(sink - maximum);
    lse = maximum + lg2_approx_ftz(all);
    return tokens / all;
  }
};

}  // namespace octavo
