#pragma once

#include "ptx/convert.cuh"
#include "ptx/mma_fp8.cuh"
#include "ptx/mov.cuh"

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

  // Softmax weights as an operand, each times its ratio, a power of two up to 1. e4m3 has no room
  // for exact products, so these are rounded, and `sum` takes what the weights became.
  static __device__ unsigned weights(const float (&values)[4], const float (&ratio)[4],
                                     float& sum) {
    float products[4];
    for (int i = 0; i < 4; ++i) products[i] = values[i] * ratio[i];
    const unsigned word = pack(products);
    for (int i = 0; i < 2; ++i) {
      const unsigned pair = Fp8Convert::f16x2_from_e4m3x2(i == 0 ? word : mov_b32_high(word));
      sum += cvt_f32_f16(pair & 0xffff) * reciprocal(ratio[2 * i]);
      sum += cvt_f32_f16(mov_b32_high(pair)) * reciprocal(ratio[2 * i + 1]);
    }
    return word;
  }

 private:
  static __device__ float reciprocal(float ratio) {
    if constexpr (!Scale::kPerToken) return 1;
    return __uint_as_float((254u << 23) -
                           __float_as_uint(ratio));  // a ratio of 0 made its weight 0
  }
};

}  // namespace octavo
