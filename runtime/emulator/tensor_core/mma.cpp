#include "tensor_core/mma.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "tensor_core/fast_dot.hpp"
#include "tensor_core/fragments.hpp"

namespace octavo::emulator::tensor_core {
namespace {

using enum Element;

constexpr bool is_integer(Element element) { return element == s8 || element == u8; }

constexpr std::string_view name_of(Element element) {
  constexpr std::string_view kNames[] = {"f16", "bf16", "tf32", "e4m3", "e5m2", "s8", "u8"};
  return kNames[static_cast<std::size_t>(element)];
}

constexpr std::string_view name_of(Accumulator accumulator) {
  constexpr std::string_view kNames[] = {"f32", "f16", "s32"};
  return kNames[static_cast<std::size_t>(accumulator)];
}

template <MmaShape kShape>
void multiply(std::uint32_t* d, const std::uint32_t* a, const std::uint32_t* b,
              const std::uint32_t* c) {
  Tile tile;
  if constexpr (kShape.k < 8) std::memset(tile.a, 0, sizeof tile.a);
  load_rows(a, kShape.a, kShape.k, tile);
  load_columns(b, kShape.b, kShape.k, tile);
  load_accumulator(c, kShape.accumulator, tile);
  if constexpr (is_integer(kShape.a)) {
    integer_tile_dot(kShape.a, kShape.b, kShape.k, false, tile);
  } else if (numerics() == Numerics::fast) {
    rows_to_fp32(kShape.a, kShape.k, tile);
    fast_tile_dot(kShape.accumulator, kShape.b, kShape.k, tile);
  } else {
    static const DotModel& model =
        *find_dot_model(Instruction::mma_sync, kShape.compute_capability, kShape.a, kShape.b);
    const TileRows rows = decode_rows(model, kShape.a, kShape.k, tile);
    tile_dot(model, kShape.accumulator, kShape.a, rows, kShape.b, kShape.k, tile);
  }
  store_accumulator(d, kShape.accumulator, tile);
}

// What mma.sync exists: on devices from `first` on, with each of the two k.
struct Kind {
  int first;
  Element a, b;
  Accumulator accumulator;
  int k[2];
};

constexpr Kind kKinds[] = {
    {80, f16, f16, Accumulator::f32, {8, 16}},    {80, f16, f16, Accumulator::f16, {8, 16}},
    {80, bf16, bf16, Accumulator::f32, {8, 16}},  {80, tf32, tf32, Accumulator::f32, {4, 8}},
    {89, e4m3, e4m3, Accumulator::f32, {16, 32}}, {89, e4m3, e5m2, Accumulator::f32, {16, 32}},
    {89, e5m2, e4m3, Accumulator::f32, {16, 32}}, {89, e5m2, e5m2, Accumulator::f32, {16, 32}},
    {89, e4m3, e4m3, Accumulator::f16, {16, 32}}, {89, e4m3, e5m2, Accumulator::f16, {16, 32}},
    {89, e5m2, e4m3, Accumulator::f16, {16, 32}}, {89, e5m2, e5m2, Accumulator::f16, {16, 32}},
    {80, s8, s8, Accumulator::s32, {16, 32}},     {80, s8, u8, Accumulator::s32, {16, 32}},
    {80, u8, s8, Accumulator::s32, {16, 32}},     {80, u8, u8, Accumulator::s32, {16, 32}},
};
constexpr int kDevices[] = {80, 89, 90, 100, 120};

template <class Visit>
constexpr void for_each_shape(const Visit& visit) {
  for (const int device : kDevices)
    for (const Kind& kind : kKinds)
      for (const int k : kind.k)
        if (device >= kind.first)
          visit(MmaShape{device, kTileRows, kTileColumns, k, kind.a, kind.b, kind.accumulator});
}

constexpr auto kShapes = [] {
  constexpr std::size_t kCount = [] {
    std::size_t count = 0;
    for_each_shape([&](const MmaShape&) { ++count; });
    return count;
  }();
  std::array<MmaShape, kCount> shapes{};
  std::size_t i = 0;
  for_each_shape([&](const MmaShape& shape) { shapes[i++] = shape; });
  return shapes;
}();

struct Symbol {
  char text[40] = {};
  std::size_t size = 0;

  constexpr void append(std::string_view part) {
    for (const char letter : part) text[size++] = letter;
  }
  constexpr void append(int number) {
    if (number >= 10) append(number / 10);
    text[size++] = static_cast<char>('0' + number % 10);
  }
};

template <MmaShape kShape>
constexpr Symbol kSymbol = [] {
  Symbol symbol;
  symbol.append("mma.sm_");
  symbol.append(kShape.compute_capability);
  symbol.append(".m");
  symbol.append(kShape.m);
  symbol.append("n");
  symbol.append(kShape.n);
  symbol.append("k");
  symbol.append(kShape.k);
  for (const std::string_view part :
       {name_of(kShape.a), name_of(kShape.b), name_of(kShape.accumulator)}) {
    symbol.append(".");
    symbol.append(part);
  }
  return symbol;
}();

template <std::size_t... kIndex>
constexpr auto rows(std::index_sequence<kIndex...>) {
  constexpr auto kRow = []<MmaShape kShape>() {
    const int block = 16 / bytes_of(kShape.a);  // of k, in a register of A or B
    return Mma{kShape,           {kSymbol<kShape>.text, kSymbol<kShape>.size},
               multiply<kShape>, 2 * kShape.k / block,
               kShape.k / block, kShape.accumulator == Accumulator::f16 ? 2 : 4};
  };
  return std::array { kRow.template operator()<kShapes[kIndex]>()... };
}

constexpr auto kTable = rows(std::make_index_sequence<kShapes.size()>());

}  // namespace

std::span<const Mma> mma_table() { return kTable; }

const Mma* find_mma(const MmaShape& shape) {
  const auto row = std::ranges::find(kTable, shape, &Mma::shape);
  return row == kTable.end() ? nullptr : &*row;
}

}  // namespace octavo::emulator::tensor_core
