// Loads and stores of words that other blocks of the device write or read meanwhile: each word is
// seen whole, old or new, and nothing is said about the others.
#pragma once

namespace octavo {

// Words that are not wanted are all ones.
inline __device__ uint2 ld_relaxed_gpu_if(bool wanted, const uint2* address) {
  uint2 words = {~0u, ~0u};
  asm volatile(
      "{\n\t"
      ".reg .pred p;\n\t"
      "setp.ne.s32 p, %3, 0;\n\t"
      "@p ld.relaxed.gpu.global.v2.u32 {%0, %1}, [%2];\n\t"
      "}"
      : "+r"(words.x), "+r"(words.y)
      : "l"(__cvta_generic_to_global(address)), "r"(static_cast<int>(wanted))
      : "memory");
  return words;
}

inline __device__ void st_global_if(bool wanted, uint2* address, uint2 words) {
  asm volatile(
      "{\n\t"
      ".reg .pred p;\n\t"
      "setp.ne.s32 p, %3, 0;\n\t"
      "@p st.global.v2.u32 [%0], {%1, %2};\n\t"
      "}" ::"l"(__cvta_generic_to_global(address)),
      "r"(words.x), "r"(words.y), "r"(static_cast<int>(wanted))
      : "memory");
}

inline __device__ void st_relaxed_gpu(uint2* address, uint2 words) {
  asm volatile(
      "st.relaxed.gpu.global.v2.u32 [%0], {%1, %2};" ::"l"(__cvta_generic_to_global(address)),
      "r"(words.x), "r"(words.y)
      : "memory");
}

}  // namespace octavo
