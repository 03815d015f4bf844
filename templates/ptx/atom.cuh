// Atomic operations on global memory.
#pragma once

namespace octavo {

// The counter goes 0, 1, ... last, 0, ...; returns its value before.
inline __device__ unsigned atom_relaxed_inc(unsigned long long counter, unsigned last) {
  unsigned before;
  asm volatile("atom.relaxed.gpu.global.inc.u32 %0, [%1], %2;"
               : "=r"(before)
               : "l"(counter), "r"(last)
               : "memory");
  return before;
}

}  // namespace octavo
