#pragma once

#include "ptx/convert.cuh"
#include "ptx/mma_fp8.cuh"
#include "ptx/mov.cuh"
#include "ptx/multiply.cuh"

namespace octavo {

// What the tensor cores multiply: queries and softmax weights in e4m3 by the cache's own bytes, 32
// deep.
struct Fp8Mma {
  static constexpr int kStepTokens = 32;  // depth of one product
  static constexpr int kPack = 4;         // values of a register
  // The softmax weight of a row's largest logit, rounded up, is 2^kWeightExponent, within e4m3's
  // 448: weights down to 2^-14 of it keep e4m3's four bits. Being a power of two, what the weights
  // are relative to does not change how they are rounded, and so neither do the tiles before.
  static constexpr int kWeightExponent = 8;
  static constexpr float kQueryLimit = 448;  // queries are scaled so that each row reaches this

  static __device__ unsigned pack(const float (&values)[4]) {
    const unsigned low = Fp8Convert::e4m3x2(values[0], values[1]);
    const unsigned high = Fp8Convert::e4m3x2(values[2], values[3]);
    return low | high << 16;
  }

  // Of a row's weights in a tile, as they were rounded. fp16 serves: it has eight bits more than a
  // weight, and the sum of a tile's is at most 2^kWeightExponent times its tokens.
  struct WeightSum {
    unsigned pair = 0;
    __device__ float value() const {
      return cvt_f32_f16(pair & 0xffff) + cvt_f32_f16(mov_b32_high(pair));
    }
  };

  // Softmax weights as an operand, each times its ratio, a power of two up to 1. e4m3 has no room
  // for exact products, so these are rounded, and the sum takes what the weights became.
  static __device__ unsigned weights(const float (&values)[4], const float (&ratio)[4],
                                     WeightSum& sum) {
    float products[4];
    for (int i = 0; i < 4; ++i) products[i] = values[i] * ratio[i];
    const unsigned word = pack(products);
    for (int i = 0; i < 2; ++i) {
      const unsigned pair = Fp8Convert::f16x2_from_e4m3x2(i == 0 ? word : mov_b32_high(word));
      sum.pair = fma_rn_f16x2(pair, reciprocals(ratio[2 * i], ratio[2 * i + 1]), sum.pair);
    }
    return word;
  }

 private:
  static __device__ unsigned reciprocals(float a, float b) {
    constexpr unsigned kOnes = 0x3c003c00;
    if constexpr (!Scale::kPerToken) return kOnes;
    return cvt_rn_f16x2_f32(reciprocal(a), reciprocal(b));
  }

  // fp16 ends at 2^15. A smaller ratio leaves no more than two values of e4m3 to its weight, which
  // counts for less then, or rounds to zero.
  static __device__ float reciprocal(float ratio) {
    return __uint_as_float((254u << 23) - __float_as_uint(fmaxf(ratio, 0x1p-15f)));
  }
};

}  // namespace octavo
