// Hints that bring memory nearer.
#pragma once

namespace octavo {

// Brings the line at an address to the L2 cache. Harmless at any address: an H100 does nothing
// where no memory is.
inline __device__ void prefetch_l2(unsigned long long address) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(address));
}

}  // namespace octavo
