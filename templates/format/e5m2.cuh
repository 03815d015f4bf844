#pragma once

namespace octavo {

struct E5m2 {
  static constexpr int kBytes = 1;
  static constexpr int kMaxExponent = 15;  // the largest finite value is 1.75 * 2^15

  // Eight values become the words that memory holds for them, by the fp8_convert policy.
  static __device__ void pack(unsigned (&words)[2], const float (&values)[8]) {
    for (int i = 0; i < 2; ++i) {
      const unsigned low = Fp8Convert::e5m2x2(values[4 * i], values[4 * i + 1]);
      const unsigned high = Fp8Convert::e5m2x2(values[4 * i + 2], values[4 * i + 3]);
      words[i] = low | high << 16;
    }
  }

  // Two values as a pair of 16-bit floats, exactly.
  static __device__ unsigned f16x2(unsigned short pair) {
    return Fp8Convert::f16x2_from_e5m2x2(pair);
  }
  static __device__ unsigned bf16x2(unsigned short pair) {
    return Fp8Convert::bf16x2_from_e5m2x2(pair);
  }
};

}  // namespace octavo
