// Groups of wgmma, which run while the warp goes on. Accumulators, and registers that are read, are
// not to be touched before the wait for their group.
#pragma once

namespace octavo {

// Before the first wgmma of a group: what registers hold is seen by it.
inline __device__ void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

inline __device__ void wgmma_commit_group() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

// Until at most kPending of the warp's newest groups are incomplete.
template <int kPending>
inline __device__ void wgmma_wait_group() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

// Keeps the compiler from moving what is done with the values to the other side of this place.
template <int kCount>
inline __device__ void hold(float (&values)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(values[i]));
}
template <int kCount>
inline __device__ void hold(unsigned (&words)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+r"(words[i]));
}

}  // namespace octavo
