// One of a warp's lanes.
#pragma once

namespace octavo {

// Whether the lane is the one that is elected, of all 32. The compiler knows that it is one, which
// it does not of a lane with a certain number: what must be issued once needs no loop.
inline __device__ bool elect_sync() {
  unsigned elected;
  asm volatile(
      "{\n\t"
      ".reg .pred elected;\n\t"
      "elect.sync _|elected, 0xffffffff;\n\t"
      "selp.u32 %0, 1, 0, elected;\n\t"
      "}"
      : "=r"(elected));
  return elected != 0;
}

}  // namespace octavo
