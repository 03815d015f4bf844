#include "tensor_core/tile_dot.hpp"

#include <array>

namespace octavo::emulator::tensor_core {

void tile_dot(const DotModel& model, Accumulator accumulator, Element a, Element b, int k,
              Tile& tile) {
  const auto length = static_cast<std::size_t>(k);
  for (int column = 0; column < kTileColumns; ++column) {
    std::array<std::uint32_t, kTileMaxK> b_column;
    for (std::size_t i = 0; i < length; ++i) b_column[i] = tile.b[i][column];
    for (int row = 0; row < kTileRows; ++row)
      tile.c[row][column] = fused_dot(model, accumulator, {a, {tile.a[row], length}},
                                      {b, {b_column.data(), length}}, tile.c[row][column]);
  }
}

}  // namespace octavo::emulator::tensor_core
