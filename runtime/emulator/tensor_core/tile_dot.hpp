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

// The rows of a, decoded once for all tiles that multiply them.
struct alignas(32) TileRows {
  int significand[kTileRows][kTileMaxK], exponent[kTileRows][kTileMaxK];
  bool finite;  // else nothing here means anything
};

// Of the first k columns of a, floating-point elements only. k is a multiple of 4; the columns from
// there to the next multiple of 8 are zeros.
TileRows decode_rows(const DotModel& model, Element a, int k, const Tile& tile);

// c = a·b + c over the first k columns of a and rows of b; `rows` are those of tile.a.
void tile_dot(const DotModel& model, Accumulator accumulator, Element a, const TileRows& rows,
              Element b, int k, Tile& tile);

// The same, one output at a time by fused_dot: slow, and what tile_dot is held to.
void scalar_tile_dot(const DotModel& model, Accumulator accumulator, Element a, Element b, int k,
                     Tile& tile);

// Of s8 and u8: sums are exact, modulo 2^32 or saturated once at the end.
void integer_tile_dot(Element a, Element b, int k, bool saturate, Tile& tile);

}  // namespace octavo::emulator::tensor_core
