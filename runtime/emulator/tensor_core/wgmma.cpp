#include "tensor_core/wgmma.hpp"

#include "tensor_core/fast_dot.hpp"
#include "tensor_core/fragments.hpp"

namespace octavo::emulator::tensor_core {
namespace {

constexpr int kLanes = 32, kComputeCapability = 90;

bool is_integer(Element element) { return element == Element::s8 || element == Element::u8; }

}  // namespace

bool exists(const WgmmaShape& shape) {
  const auto& [n, a, b, accumulator] = shape;
  if (n < 8 || n > kWgmmaMostColumns || n % 8 != 0) return false;
  if (is_integer(a) && is_integer(b)) {
    // 40, 56, 72 ... are not among its shapes.
    return accumulator == Accumulator::s32 && (n % 16 == 0 || n <= 24);
  }
  if (is_integer(a) || is_integer(b)) return false;
  if (find_dot_model(Instruction::wgmma, kComputeCapability, a, b) == nullptr) return false;
  return accumulator == Accumulator::f32 ||
         (accumulator == Accumulator::f16 && a != Element::bf16 && a != Element::tf32);
}

void negate(Element element, std::uint32_t* words, int count) {
  const std::uint32_t signs = bytes_of(element) == 4   ? 0x8000'0000
                              : bytes_of(element) == 2 ? 0x8000'8000
                                                       : 0x8080'8080;
  for (int i = 0; i < count; ++i) words[i] ^= signs;
}

void wgmma(const WgmmaShape& shape, bool saturate, const std::uint32_t* a, const std::uint32_t* b,
           std::uint32_t* d) {
  const int k = shape.k();
  const int words = shape.accumulator_registers() * kLanes / (shape.n / kTileColumns);
  const DotModel* model = find_dot_model(Instruction::wgmma, kComputeCapability, shape.a, shape.b);
  const bool fast = model != nullptr && numerics() == Numerics::fast;
  Tile tile;
  TileRows rows;
  load_rows(a, shape.a, k, tile);
  if (fast) {
    rows_to_fp32(shape.a, k, tile);
  } else if (model != nullptr) {
    rows = decode_rows(*model, shape.a, k, tile);
  }
  for (int column = 0; column < shape.n; column += kTileColumns) {
    load_columns(b, shape.b, k, tile);
    load_accumulator(d, shape.accumulator, tile);
    if (model == nullptr) {
      integer_tile_dot(shape.a, shape.b, k, saturate, tile);
    } else if (fast) {
      fast_tile_dot(shape.accumulator, shape.b, k, tile);
    } else {
      tile_dot(*model, shape.accumulator, shape.a, rows, shape.b, k, tile);
    }
    store_accumulator(d, shape.accumulator, tile);
    b += kWgmmaColumnWords;
    d += words;
  }
}

}  // namespace octavo::emulator::tensor_core
