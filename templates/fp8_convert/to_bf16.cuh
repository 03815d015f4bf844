// fp8 to bf16: no architecture has an instruction, so all of them share this code.
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

}  // namespace octavo
