#pragma once

#include "ptx/convert.cuh"

namespace octavo {

struct Bf16 {
  static constexpr int kBytes = 2;

  // Eight values and the words that memory holds for them.
  static __device__ void pack(unsigned (&words)[4], const float (&values)[8]) {
    for (int i = 0; i < 4; ++i) words[i] = cvt_rn_bf16x2_f32(values[2 * i], values[2 * i + 1]);
  }
  static __device__ void unpack(float (&values)[8], const unsigned (&words)[4]) {
    for (int i = 0; i < 4; ++i) {  // bf16 is the upper half of fp32
      values[2 * i] = __uint_as_float(words[i] << 16);
      values[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000);
    }
  }
};

}  // namespace octavo
