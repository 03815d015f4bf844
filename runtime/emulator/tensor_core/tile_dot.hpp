// The truncating fused dot product of fused_dot.hpp for the 16 x 8 tile of a warp's mma, one
// element each in 32 bits.
#pragma once

#include <cstdint>

#include "tensor_core/fused_dot.hpp"

namespace octavo::emulator::tensor_core {

inline constexpr int kTileRows = 16, kTileColumns = 8, kTileMaxK = 32;

struct alignas(32) Tile {
  std::uint32_t a[kTileRows][kTileMaxK];
  std::uint32_t b[kTileMaxK][kTileColumns];
  std::uint32_t c[kTileRows][kTileColumns];  // c, and then d in its place
};

// c = a·b + c over the first k columns of a and rows of b, floating-point elements only.
void tile_dot(const DotModel& model, Accumulator accumulator, Element a, Element b, int k,
              Tile& tile);

}  // namespace octavo::emulator::tensor_core
