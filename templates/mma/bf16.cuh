#pragma once

#include "ptx/convert.cuh"
#include "ptx/mma.cuh"
#include "ptx/multiply.cuh"

namespace octavo {

// What the tensor cores multiply: bf16, 16 deep.
struct Mma {
  static constexpr int kStepTokens = 16;  // depth of one product
  static constexpr int kPack = 2;         // values of a register
  // The softmax weight of a row's largest logit, rounded up, is 2^kWeightExponent. bf16 has fp32's
  // range.
  static constexpr int kWeightExponent = 0;
  static constexpr float kQueryLimit = 0;  // queries need no scale

  static __device__ unsigned pack(const float (&values)[2]) {
    return cvt_rn_bf16x2_f32(values[0], values[1]);
  }

  // Of a row's weights in a tile, as they were rounded.
  struct WeightSum {
    float sum = 0;
    __device__ void add(unsigned pair) {
      sum += __uint_as_float(pair << 16);
      sum += __uint_as_float(pair & 0xffff0000);
    }
    __device__ float value() const { return sum; }
  };

  // Softmax weights as an operand, each times its ratio, a power of two up to 1. The product is
  // exact.
  static __device__ unsigned weights(const float (&values)[2], const float (&ratio)[2],
                                     WeightSum& sum) {
    const unsigned pair = pack(values);
    sum.add(pair);
    return Scale::kPerToken ? mul_rn_bf16x2(pair, pack(ratio)) : pair;
  }

  // Two fp8 values as an operand.
  template <class Format>
  static __device__ unsigned from_fp8(unsigned short pair) {
    return Format::bf16x2(pair);
  }

  static __device__ void multiply(float (&sum)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    mma_m16n8k16_bf16(sum, a, b);
  }
};

}  // namespace octavo
