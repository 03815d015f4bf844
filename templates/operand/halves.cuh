#pragma once

namespace octavo {

// The words of a 16-bit cache as the second operand of products.
struct Operand {
  static constexpr int kStepWords = 2;  // words of a K row that a lane multiplies in one product

  static __device__ void keys(unsigned (&b)[2], const unsigned (&words)[2]) {
    b[0] = words[0];
    b[1] = words[1];
  }

  // One word, two dims, of V's tokens 2t, 2t + 1, 2t + 8 and 2t + 9: the operand of each dim.
  static __device__ void values(unsigned (&b)[2][2], const unsigned (&words)[4]) {
    for (int pair = 0; pair < 2; ++pair) {
      b[0][pair] = __byte_perm(words[2 * pair], words[2 * pair + 1], 0x5410);
      b[1][pair] = __byte_perm(words[2 * pair], words[2 * pair + 1], 0x7632);
    }
  }
};

}  // namespace octavo
