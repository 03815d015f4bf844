// Halves of a register.
#pragma once

namespace octavo {

// A shift would be an instruction of its own: the instructions that read a half can be told which.
inline __device__ unsigned short mov_b32_high(unsigned word) {
  unsigned short high;
  asm("{\n\t.reg .b16 low;\n\tmov.b32 {low, %0}, %1;\n\t}" : "=h"(high) : "r"(word));
  return high;
}

}  // namespace octavo
