// The fast tile against the scalar model: the same bits for any input.
#include "tensor_core/tile_dot.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "draw.hpp"

namespace octavo::emulator::tensor_core {
namespace {

Tile random_tile(Element a, Element b, Accumulator accumulator, Inputs inputs, Random& random) {
  Tile tile;
  const Format c_format = accumulator == Accumulator::f16 ? kF16 : kF32;
  // Specials in c alone take the fast path; in a or b they do not.
  const bool finite = inputs == Inputs::with_specials && random() % 2;
  const Inputs operands = finite ? Inputs::any_finite : inputs;
  for (auto& row : tile.a)
    for (auto& element : row) element = draw(format_of(a), operands, random);
  for (auto& row : tile.b)
    for (auto& element : row) element = draw(format_of(b), operands, random);
  const Inputs c_inputs = random() % 2 ? inputs : Inputs::any_finite;
  for (auto& row : tile.c)
    for (auto& element : row) element = draw(c_format, c_inputs, random);
  return tile;
}

void compare(Instruction instruction, int device, Element a, Element b, Accumulator accumulator,
             int& tiles) {
  const DotModel* model = find_dot_model(instruction, device, a, b);
  if (!model) return;
  CAPTURE(device);
  CAPTURE(static_cast<int>(instruction));
  CAPTURE(static_cast<int>(a));
  CAPTURE(static_cast<int>(b));
  CAPTURE(static_cast<int>(accumulator));
  Random random(static_cast<unsigned>(device));
  for (const Inputs inputs : kInputs)
    for (const int k : {4, 8, 16, 32}) {
      if (k == 4 && a != Element::tf32) continue;
      for (int repeat = 0; repeat < 4; ++repeat) {
        Tile fast = random_tile(a, b, accumulator, inputs, random);
        if (k == 4)
          for (auto& row : fast.a) std::fill(row + 4, row + 8, 0u);
        Tile slow = fast;
        tile_dot(*model, accumulator, a, decode_rows(*model, a, k, fast), b, k, fast);
        scalar_tile_dot(*model, accumulator, a, b, k, slow);
        CAPTURE(static_cast<int>(inputs));
        CAPTURE(k);
        for (int i = 0; i < kTileRows * kTileColumns; ++i) {
          const int row = i / kTileColumns, column = i % kTileColumns;
          const std::uint32_t got = fast.c[row][column], expected = slow.c[row][column];
          if (got != expected)
            FAIL(fmt::format("row {}, column {}: {:08x}, not {:08x}", row, column, got, expected));
        }
        ++tiles;
      }
    }
}

TEST_CASE("the fast tile and the scalar model agree in every bit") {
  using enum Element;
  int tiles = 0;
  for (const Instruction instruction :
       {Instruction::mma_sync, Instruction::wgmma, Instruction::tcgen05})
    for (const int device : {75, 80, 89, 90, 100, 120})
      for (const Element a : {f16, bf16, tf32, e4m3, e5m2})
        for (const Element b : {f16, bf16, tf32, e4m3, e5m2})
          for (const Accumulator accumulator : {Accumulator::f32, Accumulator::f16})
            compare(instruction, device, a, b, accumulator, tiles);
  CHECK(tiles > 5000);
}

}  // namespace
}  // namespace octavo::emulator::tensor_core
