// Loads of global memory, 4 or 16 bytes a lane, by those lanes that want them: the others get
// zeros, and their addresses are not read.
#pragma once

namespace octavo {

inline __device__ void ld_global_if(unsigned (&words)[1], unsigned long long address, bool wanted) {
  asm volatile(
      "{\n\t"
      ".reg .pred wanted;\n\t"
      "setp.ne.u32 wanted, %2, 0;\n\t"
      "mov.u32 %0, 0;\n\t"
      "@wanted ld.global.u32 %0, [%1];\n\t"
      "}"
      : "=&r"(words[0])
      : "l"(address), "r"(static_cast<unsigned>(wanted))
      : "memory");
}

inline __device__ void ld_global_if(unsigned (&words)[4], unsigned long long address, bool wanted) {
  asm volatile(
      "{\n\t"
      ".reg .pred wanted;\n\t"
      "setp.ne.u32 wanted, %5, 0;\n\t"
      "mov.u32 %0, 0;\n\t"
      "mov.u32 %1, 0;\n\t"
      "mov.u32 %2, 0;\n\t"
      "mov.u32 %3, 0;\n\t"
      "@wanted ld.global.v4.u32 {%0, %1, %2, %3}, [%4];\n\t"
      "}"
      : "=&r"(words[0]), "=&r"(words[1]), "=&r"(words[2]), "=&r"(words[3])
      : "l"(address), "r"(static_cast<unsigned>(wanted))
      : "memory");
}

}  // namespace octavo
