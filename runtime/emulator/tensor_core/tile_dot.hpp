// The truncating fused dot product of fused_dot.hpp for the 16 x 8 tile of a warp's mma: the same
// bits, eight outputs at a time.
#pragma once

#include <cstdint>

#include "tensor_core/fused_dot.hpp"

namespace octavo::emulator::tensor_core {

inline constexpr int kTileRows = 16, kTileColumns = 8, kTileMaxK = 32;

// One element each in 32 bits.
struct alignas(32) Tile {
  std::uint32_t a[kTileRows][kTileMaxK];
  std::uint32_t b[kTileMaxK][kTileColumns];
  std::uint32_t c[kTileRows][kTileColumns];  // c, and then d in its place
};

// c = a·b + c over the first k columns of a and rows of b, floating-point elements only. k is a
// multiple of 4; the columns of a from there to the next multiple of 8 are zeros.
void tile_dot(const DotModel& model, Accumulator accumulator, Element a, Element b, int k,
              Tile& tile);

// The same, one output at a time by fused_dot: slow, and what tile_dot is held to.
void scalar_tile_dot(const DotModel& model, Accumulator accumulator, Element a, Element b, int k,
                     Tile& tile);

// Of s8 and u8: sums are exact, modulo 2^32 or saturated once at the end.
void integer_tile_dot(Element a, Element b, int k, bool saturate, Tile& tile);

}  // namespace octavo::emulator::tensor_core
