// The warp's mma: every row of the table against a plain matrix product, through the ISA's layouts.
#include "tensor_core/mma.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <map>
#include <random>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "tensor_core/number.hpp"

namespace octavo::emulator::tensor_core {
namespace {

constexpr int kLanes = 32;

// The encoding of a small integer, found by decoding them all.
std::uint32_t search_encoding(Element element, int value) {
  const Format format = format_of(element);
  for (std::uint32_t bits = 0; bits < 1u << format.bits; ++bits) {
    const Number number = decode(format, bits);
    if (number.kind != Number::Kind::zero && number.kind != Number::Kind::finite) continue;
    const float magnitude =
        std::ldexp(static_cast<float>(number.significand), number.exponent - kFractionBits);
    if ((number.negative ? -magnitude : magnitude) == static_cast<float>(value)) return bits;
  }
  FAIL("no encoding of ", value);
  return 0;
}

std::uint32_t encode_integer(Element element, int value) {
  if (element == Element::s8 || element == Element::u8) return static_cast<std::uint8_t>(value);
  if (element == Element::tf32) return std::bit_cast<std::uint32_t>(static_cast<float>(value));
  static std::map<std::pair<Element, int>, std::uint32_t> known;
  const auto [place, is_new] = known.try_emplace({element, value});
  if (is_new) place->second = search_encoding(element, value);
  return place->second;
}

std::uint32_t encode_accumulator(Accumulator accumulator, int value) {
  if (accumulator == Accumulator::s32) return static_cast<std::uint32_t>(value);
  return encode_integer(accumulator == Accumulator::f16 ? Element::f16 : Element::tf32, value);
}

struct Fragments {
  std::uint32_t a[4][kLanes] = {}, b[2][kLanes] = {}, c[4][kLanes] = {};
};

// Puts an element of `bytes` bytes at place `index` of a lane's registers.
void put(std::uint32_t (*registers)[kLanes], int lane, int index, int bytes, std::uint32_t bits) {
  const int per_register = 4 / bytes;
  registers[index / per_register][lane] |= bits << (8 * bytes * (index % per_register));
}

std::uint32_t get(const std::uint32_t (*registers)[kLanes], int lane, int index, int bytes) {
  const int per_register = 4 / bytes;
  const std::uint32_t word = registers[index / per_register][lane];
  return bytes == 4 ? word : (word >> (16 * (index % per_register))) & 0xFFFF;
}

// Integers so small that every sum is exact in every format.
struct Matrices {
  int a[16][32], b[32][8], c[16][8];

  explicit Matrices(const MmaShape& shape) {
    std::mt19937 random(7);
    const auto draw = [&](bool negative) {
      return static_cast<int>(random() % 5) - (negative ? 2 : 0);
    };
    for (auto& row : a)
      for (int& x : row) x = draw(shape.a != Element::u8);
    for (auto& row : b)
      for (int& x : row) x = draw(shape.b != Element::u8);
    for (auto& row : c)
      for (int& x : row) x = static_cast<int>(random() % 200) - 100;
  }
};

// The ISA's figures: "Matrix Fragments for mma.m16n8kN", with g = lane / 4 and t = lane % 4.
Fragments distribute(const MmaShape& shape, const Matrices& matrices) {
  Fragments fragments;
  const int bytes = bytes_of(shape.a), p = 4 / bytes;  // p elements a register
  const int accumulator_bytes = shape.accumulator == Accumulator::f16 ? 2 : 4;
  for (int lane = 0; lane < kLanes; ++lane) {
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 16 * shape.k / kLanes; ++i) {
      const int row = i / p % 2 ? g + 8 : g, column = p * t + i % p + i / (2 * p) * 4 * p;
      put(fragments.a, lane, i, bytes, encode_integer(shape.a, matrices.a[row][column]));
    }
    for (int i = 0; i < 8 * shape.k / kLanes; ++i) {
      const int k = p * t + i % p + i / p * 4 * p;
      put(fragments.b, lane, i, bytes, encode_integer(shape.b, matrices.b[k][g]));
    }
    for (int i = 0; i < 4; ++i)
      put(fragments.c, lane, i, accumulator_bytes,
          encode_accumulator(shape.accumulator, matrices.c[i < 2 ? g : g + 8][2 * t + i % 2]));
  }
  return fragments;
}

TEST_CASE("every mma multiplies matrices") {
  for (const Mma& mma : mma_table()) {
    CAPTURE(mma.symbol);
    const Matrices matrices(mma.shape);
    Fragments fragments = distribute(mma.shape, matrices);
    // In place, as compiled kernels mostly have it.
    mma.function(fragments.c[0], fragments.a[0], fragments.b[0], fragments.c[0]);
    const int bytes = mma.shape.accumulator == Accumulator::f16 ? 2 : 4;
    for (int lane = 0; lane < kLanes; ++lane)
      for (int i = 0; i < 4; ++i) {
        const int row = lane / 4 + (i < 2 ? 0 : 8), column = 2 * (lane % 4) + i % 2;
        int expected = matrices.c[row][column];
        for (int k = 0; k < mma.shape.k; ++k)
          expected += matrices.a[row][k] * matrices.b[k][column];
        REQUIRE(get(fragments.c, lane, i, bytes) ==
                encode_accumulator(mma.shape.accumulator, expected));
      }
  }
}

TEST_CASE("integer products wrap and take their signs from the type") {
  for (const auto& [a, b, expected] :
       {std::tuple{Element::s8, Element::s8, 1}, std::tuple{Element::s8, Element::u8, -255},
        std::tuple{Element::u8, Element::s8, -255}, std::tuple{Element::u8, Element::u8, 65025}}) {
    const Mma* mma = find_mma({90, 16, 8, 16, a, b, Accumulator::s32});
    REQUIRE(mma);
    Fragments fragments;
    for (auto& x : fragments.a[0]) x = 0xFF;  // column 4t of the upper rows
    for (auto& x : fragments.b[0]) x = 0xFF;
    for (auto& x : fragments.c[0]) x = 0x7FFFFFFF;
    mma->function(fragments.c[0], fragments.a[0], fragments.b[0], fragments.c[0]);
    CHECK(fragments.c[0][5] == 0x7FFFFFFFu + static_cast<std::uint32_t>(4 * expected));
    CHECK(fragments.c[2][5] == 0);
  }
}

TEST_CASE("the table's symbols and registers") {
  std::set<std::string_view> symbols;
  for (const Mma& mma : mma_table()) {
    CHECK(symbols.insert(mma.symbol).second);
    CHECK(find_mma(mma.shape) == &mma);
  }
  const Mma* mma = find_mma({89, 16, 8, 32, Element::e4m3, Element::e5m2, Accumulator::f16});
  REQUIRE(mma);
  CHECK(mma->symbol == "mma.sm_89.m16n8k32.e4m3.e5m2.f16");
  CHECK(mma->a_registers == 4);
  CHECK(mma->b_registers == 2);
  CHECK(mma->c_registers == 2);
  CHECK(find_mma({80, 16, 8, 32, Element::e4m3, Element::e4m3, Accumulator::f32}) == nullptr);
  CHECK(find_mma({90, 16, 8, 16, Element::bf16, Element::bf16, Accumulator::f16}) == nullptr);
}

}  // namespace
}  // namespace octavo::emulator::tensor_core
