// What the four warps of a warpgroup do together.
#pragma once

namespace octavo {

// The registers of each thread from here on, a multiple of 8: fewer, or more once others have left
// them.
template <int kRegisters>
inline __device__ void setmaxnreg_dec() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
inline __device__ void setmaxnreg_inc() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

// A barrier of kCount of the block's threads; 0 is that of __syncthreads.
template <int kBarrier, int kCount>
inline __device__ void bar_sync() {
  asm volatile("bar.sync %0, %1;" ::"n"(kBarrier), "n"(kCount) : "memory");
}

}  // namespace octavo
