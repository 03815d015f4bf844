#pragma once

#include "ptx/convert.cuh"

namespace octavo {

struct Fp16 {
  static constexpr int kBytes = 2;

  // Eight values and the words that memory holds for them.
  static __device__ void pack(unsigned (&words)[4], const float (&values)[8]) {
    for (int i = 0; i < 4; ++i) words[i] = cvt_rn_f16x2_f32(values[2 * i], values[2 * i + 1]);
  }
  static __device__ void unpack(float (&values)[8], const unsigned (&words)[4]) {
    for (int i = 0; i < 4; ++i) {
      values[2 * i] = cvt_f32_f16(words[i] & 0xffff);
      values[2 * i + 1] = cvt_f32_f16(words[i] >> 16);
    }
  }
};

}  // namespace octavo
