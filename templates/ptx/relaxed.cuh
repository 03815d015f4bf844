// Loads, stores and increments of words that other blocks of the device write or read meanwhile:
// each word is seen whole, old or new, and nothing is said about the others.
#pragma once

namespace octavo {

// Words that are not wanted are `otherwise`.
inline __device__ unsigned long long ld_relaxed_gpu_if(bool wanted,
                                                       const unsigned long long* address,
                                                       unsigned long long otherwise) {
  unsigned long long word = otherwise;
  asm volatile(
      "{\n\t"
      ".reg .pred p;\n\t"
      "setp.ne.s32 p, %2, 0;\n\t"
      "@p ld.relaxed.gpu.global.u64 %0, [%1];\n\t"
      "}"
      : "+l"(word)
      : "l"(__cvta_generic_to_global(address)), "r"(static_cast<int>(wanted))
      : "memory");
  return word;
}

inline __device__ ulonglong2 ld_relaxed_gpu_if(bool wanted, const ulonglong2* address,
                                               unsigned long long otherwise) {
  ulonglong2 words = {otherwise, otherwise};
  asm volatile(
      "{\n\t"
      ".reg .pred p;\n\t"
      "setp.ne.s32 p, %3, 0;\n\t"
      "@p ld.relaxed.gpu.global.v2.u64 {%0, %1}, [%2];\n\t"
      "}"
      : "+l"(words.x), "+l"(words.y)
      : "l"(__cvta_generic_to_global(address)), "r"(static_cast<int>(wanted))
      : "memory");
  return words;
}

inline __device__ void st_relaxed_gpu(unsigned long long* address, unsigned long long word) {
  asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" ::"l"(__cvta_generic_to_global(address)),
               "l"(word)
               : "memory");
}

inline __device__ void st_zero_global_if(bool wanted, unsigned long long* address) {
  asm volatile(
      "{\n\t"
      ".reg .pred p;\n\t"
      "setp.ne.s32 p, %1, 0;\n\t"
      "@p st.global.u64 [%0], 0;\n\t"
      "}" ::"l"(__cvta_generic_to_global(address)),
      "r"(static_cast<int>(wanted))
      : "memory");
}

inline __device__ void st_zero_global_if(bool wanted, ulonglong2* address) {
  asm volatile(
      "{\n\t"
      ".reg .pred p;\n\t"
      "setp.ne.s32 p, %1, 0;\n\t"
      "@p st.global.v2.u64 [%0], {0, 0};\n\t"
      "}" ::"l"(__cvta_generic_to_global(address)),
      "r"(static_cast<int>(wanted))
      : "memory");
}

// The word goes 0, 1, ... last, 0, ...; returns what it was before.
inline __device__ unsigned atom_relaxed_inc(unsigned long long address, unsigned last) {
  unsigned before;
  asm volatile("atom.relaxed.gpu.global.inc.u32 %0, [%1], %2;"
               : "=r"(before)
               : "l"(address), "r"(last)
               : "memory");
  return before;
}

}  // namespace octavo
