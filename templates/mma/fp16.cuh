#pragma once

#include "ptx/convert.cuh"
#include "ptx/mma.cuh"
#include "ptx/mov.cuh"
#include "ptx/multiply.cuh"

namespace octavo {

// What the tensor cores multiply: fp16, 16 deep.
struct Mma {
  static constexpr int kStepTokens = 16;  // depth of one product
  static constexpr int kPack = 2;         // values of a register
  // The softmax weight of a row's largest logit, rounded up, is 2^kWeightExponent: it is far from
  // fp16's largest value, and weights down to 2^-26 of it keep all their bits.
  static constexpr int kWeightExponent = 12;
  static constexpr float kQueryLimit = 0;  // queries need no scale

  static __device__ unsigned pack(const float (&values)[2]) {
    return cvt_rn_f16x2_f32(values[0], values[1]);
  }

  // Of a row's weights in a tile, as they were rounded.
  struct WeightSum {
    float sum = 0;
    __device__ void add(unsigned pair) {
      sum += cvt_f32_f16(pair & 0xffff);
      sum += cvt_f32_f16(mov_b32_high(pair));
    }
    __device__ float value() const { return sum; }
  };

  // Softmax weights as an operand, each times its ratio, a power of two up to 1. The product is
  // exact.
  static __device__ unsigned weights(const float (&values)[2], const float (&ratio)[2],
                                     WeightSum& sum) {
    const unsigned pair = pack(values);
    sum.add(pair);
    return Scale::kPerToken ? mul_rn_f16x2(pair, pack(ratio)) : pair;
  }

  // Two fp8 values as an operand.
  template <class Format>
  static __device__ unsigned from_fp8(unsigned short pair) {
    return Format::f16x2(pair);
  }

  static __device__ void multiply(float (&sum)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    mma_m16n8k16_f16(sum, a, b);
  }
};

}  // namespace octavo
