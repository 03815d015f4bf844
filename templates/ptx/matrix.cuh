// Four matrices of 8 x 8 16-bit elements between shared memory and a warp's registers. Lane l gives
// the address of row l % 8 of matrix l / 8; with g = lane / 4 and t = lane % 4, a lane has of each
// matrix elements 2t and 2t + 1 of row g, or, transposed, of column g.
#pragma once

namespace octavo {

inline __device__ void ldmatrix_x4(unsigned (&words)[4], unsigned shared) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(shared)
               : "memory");
}

inline __device__ void ldmatrix_x4_trans(unsigned (&words)[4], unsigned shared) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(shared)
               : "memory");
}

inline __device__ void stmatrix_x4(unsigned shared, const unsigned (&words)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(shared),
               "r"(words[0]), "r"(words[1]), "r"(words[2]), "r"(words[3])
               : "memory");
}

}  // namespace octavo
