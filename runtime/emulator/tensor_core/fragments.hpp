// The ISA's fragments of mma.m16n8kN: what the registers of a warp's lanes hold of a tile.
#pragma once

#include <cstdint>

#include "tensor_core/tile_dot.hpp"

namespace octavo::emulator::tensor_core {

// Registers are [register][32 lanes]. Elements are zero-extended into the tile.
void load_rows(const std::uint32_t* a, Element element, int k, Tile& tile);
void load_columns(const std::uint32_t* b, Element element, int k, Tile& tile);
void load_accumulator(const std::uint32_t* c, Accumulator accumulator, Tile& tile);
void store_accumulator(std::uint32_t* d, Accumulator accumulator, const Tile& tile);

}  // namespace octavo::emulator::tensor_core
