#pragma once

#include "ptx/multiply.cuh"

namespace octavo {

// An fp8 number's bits, moved to where bf16 keeps its exponent and fraction, stand for the value
// times a power of two, subnormals included: one exact multiplication away from bf16.
struct Fp8ToBf16 {
  static __device__ unsigned bf16x2_from_e4m3x2(unsigned short pair) {
    return mul_rn_bf16x2(e4m3_fields(pair), 0x7b807b80);  // 2^120
  }
  static __device__ unsigned bf16x2_from_e5m2x2(unsigned short pair) {
    return mul_rn_bf16x2(e5m2_fields(pair), 0x77807780);  // 2^112
  }

  // bf16x2 of the values * 2^-120; the code of NaN becomes NaN.
  static __device__ unsigned e4m3_fields(unsigned short pair) {
    const unsigned bytes = __byte_perm(pair, 0, 0x1404);  // each in the upper byte of a half
    const unsigned magnitude = (bytes & 0x7f007f00) >> 4;
    const unsigned nan = (magnitude + 0x00100010) & 0x08000800;
    return (bytes & 0x80008000) | magnitude | ((nan << 4) - (nan >> 11));
  }
  // bf16x2 of the values * 2^-112; infinities and NaNs get bf16's exponent of such.
  static __device__ unsigned e5m2_fields(unsigned short pair) {
    const unsigned bytes = __byte_perm(pair, 0, 0x1404);
    const unsigned magnitude = (bytes & 0x7f007f00) >> 3;
    const unsigned special = (magnitude + 0x00800080) & 0x10001000;
    return (bytes & 0x80008000) | magnitude | ((special << 3) - (special >> 5));
  }
};

// fp8 in integer code, for architectures before sm_89: the same bits as their successors'
// instructions give, rounding, saturation, subnormals and NaN included.
struct Fp8Convert : Fp8ToBf16 {
  static __device__ unsigned short e4m3x2(float low, float high) {
    return static_cast<unsigned short>(e4m3(low) | e4m3(high) << 8);
  }
  static __device__ unsigned short e5m2x2(float low, float high) {
    return static_cast<unsigned short>(e5m2(low) | e5m2(high) << 8);
  }

  static __device__ unsigned f16x2_from_e4m3x2(unsigned short pair) {
    return mul_rn_f16x2(e4m3_fields_f16(pair), 0x5c005c00);  // 2^8
  }
  static __device__ unsigned f16x2_from_e5m2x2(unsigned short pair) {
    // e5m2 is the upper byte of fp16; the multiplication makes every NaN the canonical one.
    return mul_rn_f16x2(__byte_perm(pair, 0, 0x1404), 0x3c003c00);
  }

  static __device__ unsigned e4m3(float value) { return fp8<3, 7, 0x7e>(value); }
  static __device__ unsigned e5m2(float value) { return fp8<2, 15, 0x7b>(value); }

  // f16x2 of the values * 2^-8, by their bits alone; the code of NaN becomes NaN.
  static __device__ unsigned e4m3_fields_f16(unsigned short pair) {
    const unsigned bytes = __byte_perm(pair, 0, 0x1404);  // each in the upper byte of a half
    const unsigned magnitude = (bytes & 0x7f007f00) >> 1;
    const unsigned nan = (magnitude + 0x00800080) & 0x40004000;
    return (bytes & 0x80008000) | magnitude | ((nan << 1) - (nan >> 14));
  }

 private:
  template <int kFractionBits, int kBias, unsigned kLargest>
  static __device__ unsigned fp8(float value) {
    constexpr int kDropped = 23 - kFractionBits;
    constexpr unsigned kSmallestNormal = (127u + 1 - kBias) << 23;
    const unsigned bits = __float_as_uint(value);
    const unsigned magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return 0x7f;
    unsigned code;
    if (magnitude < kSmallestNormal) {
      // Adding the power of two whose last place is the smallest subnormal rounds to a multiple of
      // it, which then stands in the sum's last bits.
      constexpr unsigned kMagic = (127u + 24 - kBias - kFractionBits) << 23;
      code = __float_as_uint(__uint_as_float(magnitude) + __uint_as_float(kMagic)) - kMagic;
    } else {
      const unsigned odd = magnitude >> kDropped & 1;
      const unsigned rounded = magnitude + (1u << (kDropped - 1)) - 1 + odd;
      code = (rounded >> kDropped) - ((127u - kBias) << kFractionBits);
      code = code < kLargest ? code : kLargest;
    }
    return (bits >> 24 & 0x80) | code;
  }
};

}  // namespace octavo
