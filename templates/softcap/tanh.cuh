#pragma once

#include "ptx/special.cuh"

namespace octavo {

// Logits x become softcap * tanh(x / softcap). kLogitScale is softmax_scale * 2 log2(e) / softcap
// and kSoftcap is softcap * log2(e), so that with tanh(z) = 1 - 2 / (1 + exp(2z)) a logit in base 2
// is one ex2 and one rcp away. Its absolute error is kSoftcap * 2^-22; tanh.approx, with a relative
// error of 2^-11, would cost a logit of 10 half a percent of its weight.
struct Softcap {
  static constexpr bool kOn = true;
  static __device__ float apply(float logit) {
    return fmaf(-2 * kSoftcap, rcp_approx_ftz(1 + ex2_approx_ftz(logit)), kSoftcap);
  }
};

}  // namespace octavo
