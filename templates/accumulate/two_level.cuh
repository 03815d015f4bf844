#pragma once

namespace octavo {

// The tensor cores sum the products of one step from zero, and fp32 additions sum the steps: where
// the tensor cores' accumulator is narrow (14 bits for fp8 on some), only a step is summed in it. A
// step is Mma::kStepTokens tokens, no more than any promote_every, and a step's sum lives in four
// registers.
struct Accumulation {
  static __device__ void multiply(float (&sum)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    static_assert(Mma::kStepTokens <= kPromoteEvery, "a step sums more tokens than promote_every");
    float partial[4] = {};
    Mma::multiply(partial, a, b);
    for (int i = 0; i < 4; ++i) sum[i] += partial[i];
  }
};

}  // namespace octavo
