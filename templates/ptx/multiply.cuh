// Products of pairs of 16-bit floats; subnormals count.
#pragma once

namespace octavo {

inline __device__ unsigned mul_rn_f16x2(unsigned a, unsigned b) {
  unsigned product;
  asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(product) : "r"(a), "r"(b));
  return product;
}

inline __device__ unsigned fma_rn_f16x2(unsigned a, unsigned b, unsigned c) {
  unsigned sum;
  asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(sum) : "r"(a), "r"(b), "r"(c));
  return sum;
}

inline __device__ unsigned fma_rn_bf16x2(unsigned a, unsigned b, unsigned c) {
  unsigned sum;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(sum) : "r"(a), "r"(b), "r"(c));
  return sum;
}

// Only sm_90 and later multiply without adding; adding -0 keeps the sign of zero.
inline __device__ unsigned mul_rn_bf16x2(unsigned a, unsigned b) {
  return fma_rn_bf16x2(a, b, 0x80008000);
}

}  // namespace octavo
