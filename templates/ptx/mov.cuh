// Moves of what is no whole register.
#pragma once

namespace octavo {

// A shift would be an instruction of its own: the instructions that read a half can be told which.
inline __device__ unsigned short mov_b32_high(unsigned word) {
  unsigned short high;
  asm("{\n\t.reg .b16 low;\n\tmov.b32 {low, %0}, %1;\n\t}" : "=h"(high) : "r"(word));
  return high;
}

// The lane's number, read anew: what is computed from it is not kept in registers from one time to
// the next.
inline __device__ int mov_laneid() {
  int lane;
  asm volatile("mov.u32 %0, %%laneid;" : "=r"(lane));
  __builtin_assume(lane >= 0 && lane < 32);
  return lane;
}

// The same of the thread's number.
inline __device__ int mov_tid_x() {
  int thread;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
  __builtin_assume(thread >= 0 && thread < 1024);
  return thread;
}

}  // namespace octavo
