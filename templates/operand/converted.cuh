#pragma once

#include "ptx/mov.cuh"

namespace octavo {

// The words of an fp8 cache as the second operand of 16-bit products, into which fp8 fits exactly.
struct Operand {
  static constexpr int kStepWords = 1;  // words of a K row that a lane multiplies in one product

  static __device__ void keys(unsigned (&b)[2], const unsigned (&words)[1]) {
    b[0] = Mma::from_fp8<Cache>(words[0]);
    b[1] = Mma::from_fp8<Cache>(mov_b32_high(words[0]));
  }

  // One word, four dims, of V's tokens 2t, 2t + 1, 2t + 8 and 2t + 9: the operand of each dim.
  static __device__ void values(unsigned (&b)[4][2], const unsigned (&words)[4]) {
    for (int pair = 0; pair < 2; ++pair) {
      const unsigned low = __byte_perm(words[2 * pair], words[2 * pair + 1], 0x5140);
      const unsigned high = __byte_perm(words[2 * pair], words[2 * pair + 1], 0x7362);
      b[0][pair] = Mma::from_fp8<Cache>(low);
      b[1][pair] = Mma::from_fp8<Cache>(mov_b32_high(low));
      b[2][pair] = Mma::from_fp8<Cache>(high);
      b[3][pair] = Mma::from_fp8<Cache>(mov_b32_high(high));
    }
  }
};

}  // namespace octavo
