// Loads and stores of global memory, 4 to 32 bytes a lane, at most 16 at once.
#pragma once

namespace octavo {

inline __device__ void ld_global(unsigned (&words)[1], unsigned long long address) {
  asm volatile("ld.global.u32 %0, [%1];" : "=r"(words[0]) : "l"(address) : "memory");
}

inline __device__ void ld_global(unsigned (&words)[2], unsigned long long address) {
  asm volatile("ld.global.v2.u32 {%0, %1}, [%2];"
               : "=r"(words[0]), "=r"(words[1])
               : "l"(address)
               : "memory");
}

inline __device__ void ld_global(unsigned (&words)[4], unsigned long long address) {
  asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "l"(address)
               : "memory");
}

inline __device__ void ld_global(float (&values)[4], unsigned long long address) {
  asm volatile("ld.global.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(values[0]), "=f"(values[1]), "=f"(values[2]), "=f"(values[3])
               : "l"(address)
               : "memory");
}

inline __device__ void ld_global(unsigned (&words)[8], unsigned long long address) {
  asm volatile(
      "ld.global.v4.u32 {%0, %1, %2, %3}, [%8];\n\t"
      "ld.global.v4.u32 {%4, %5, %6, %7}, [%8 + 16];"
      : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3]), "=r"(words[4]),
        "=r"(words[5]), "=r"(words[6]), "=r"(words[7])
      : "l"(address)
      : "memory");
}

inline __device__ void st_global(unsigned long long address, const unsigned (&words)[1]) {
  asm volatile("st.global.u32 [%0], %1;" ::"l"(address), "r"(words[0]) : "memory");
}

inline __device__ void st_global(unsigned long long address, const unsigned (&words)[2]) {
  asm volatile("st.global.v2.u32 [%0], {%1, %2};" ::"l"(address), "r"(words[0]), "r"(words[1])
               : "memory");
}

inline __device__ void st_global(unsigned long long address, const unsigned (&words)[4]) {
  asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(address), "r"(words[0]),
               "r"(words[1]), "r"(words[2]), "r"(words[3])
               : "memory");
}

inline __device__ void st_global(unsigned long long address, const unsigned (&words)[8]) {
  asm volatile(
      "st.global.v4.u32 [%0], {%1, %2, %3, %4};\n\t"
      "st.global.v4.u32 [%0 + 16], {%5, %6, %7, %8};" ::"l"(address),
      "r"(words[0]), "r"(words[1]), "r"(words[2]), "r"(words[3]), "r"(words[4]), "r"(words[5]),
      "r"(words[6]), "r"(words[7])
      : "memory");
}

}  // namespace octavo
