#pragma once

namespace octavo {

struct Fp32 {
  static constexpr int kBytes = 4;

  // Eight values and the words that memory holds for them.
  static __device__ void pack(unsigned (&words)[8], const float (&values)[8]) {
    for (int i = 0; i < 8; ++i) words[i] = __float_as_uint(values[i]);
  }
  static __device__ void unpack(float (&values)[8], const unsigned (&words)[8]) {
    for (int i = 0; i < 8; ++i) values[i] = __uint_as_float(words[i]);
  }
};

}  // namespace octavo
