// Matrix products for those who want only function: in fp32, not as the hardware truncates them.
#pragma once

#include <cstdint>

#include "tensor_core/tile_dot.hpp"

namespace octavo::emulator::tensor_core {

enum class Numerics : std::uint8_t {
  exact,  // bit for bit as the emulated device
  fast,   // products and sums rounded to fp32, in ascending k
};

// What OCTAVO_NUMERICS says (exact, fast), exact if unset. Throws Fault INVALID_VALUE for anything
// else.
Numerics numerics_from_environment();

// Of the whole process, from its next matrix instruction on. Thread-safe.
void set_numerics(Numerics numerics);
Numerics numerics();

// The first k columns of tile.a become fp32.
void rows_to_fp32(Element a, int k, Tile& tile);

// c = a·b + c over the first k columns of a, which is fp32 already, and rows of b.
void fast_tile_dot(Accumulator accumulator, Element b, int k, Tile& tile);

}  // namespace octavo::emulator::tensor_core
