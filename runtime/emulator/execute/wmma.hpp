// How wmma's fragments lie in registers and in memory.
#pragma once

#include <cstdint>

namespace octavo::emulator {

// A fragment's parts, each an operand of m16n8: of 16 rows of A, of 8 columns of B, or 16x8 of the
// accumulator; and where the next part lies.
enum class WmmaPart : std::uint32_t {
  tall,     // A's layout, parts below each other
  wide,     // B's layout, parts beside each other
  beside,   // the accumulator's, parts beside each other
  stacked,  // the accumulator's, parts below each other
};

}  // namespace octavo::emulator
