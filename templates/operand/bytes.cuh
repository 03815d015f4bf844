#pragma once

namespace octavo {

// The words of an fp8 cache as the second operand of fp8 products.
struct Operand {
  static constexpr int kStepWords = 2;  // words of a K row that a lane multiplies in one product

  static __device__ void keys(unsigned (&b)[2], const unsigned (&words)[2]) {
    b[0] = words[0];
    b[1] = words[1];
  }

  // One word, four dims, of V's tokens 2t, 2t + 1, 2t + 8, 2t + 9 and of those 16 later: the
  // operand of each dim, its four tokens in one register. A transposition of 4 x 4 bytes.
  static __device__ void values(unsigned (&b)[4][2], const unsigned (&words)[8]) {
    for (int half = 0; half < 2; ++half) {
      const unsigned* rows = words + 4 * half;
      const unsigned low01 = __byte_perm(rows[0], rows[1], 0x5140);
      const unsigned low23 = __byte_perm(rows[2], rows[3], 0x5140);
      const unsigned high01 = __byte_perm(rows[0], rows[1], 0x7362);
      const unsigned high23 = __byte_perm(rows[2], rows[3], 0x7362);
      b[0][half] = __byte_perm(low01, low23, 0x5410);
      b[1][half] = __byte_perm(low01, low23, 0x7632);
      b[2][half] = __byte_perm(high01, high23, 0x5410);
      b[3][half] = __byte_perm(high01, high23, 0x7632);
    }
  }
};

}  // namespace octavo
