// Exchanges between the lanes of a warp, all of which take part.
#pragma once

namespace octavo {

// The value that lane (own lane ^ mask) passes.
inline __device__ float shfl_bfly(float value, unsigned mask) {
  float result;
  asm volatile("shfl.sync.bfly.b32 %0, %1, %2, 31, 0xffffffff;"
               : "=f"(result)
               : "f"(value), "r"(mask));
  return result;
}

// The value that lane `source` passes.
inline __device__ float shfl_idx(float value, unsigned source) {
  float result;
  asm volatile("shfl.sync.idx.b32 %0, %1, %2, 31, 0xffffffff;"
               : "=f"(result)
               : "f"(value), "r"(source));
  return result;
}

// Bit l is lane l's predicate.
inline __device__ unsigned vote_ballot(bool predicate) {
  unsigned lanes;
  asm volatile(
      "{\n\t.reg .pred p;\n\tsetp.ne.u32 p, %1, 0;\n\tvote.sync.ballot.b32 %0, p, 0xffffffff;\n\t}"
      : "=r"(lanes)
      : "r"(static_cast<unsigned>(predicate)));
  return lanes;
}

}  // namespace octavo
