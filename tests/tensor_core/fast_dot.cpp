// OCTAVO_NUMERICS=fast: products in fp32, near the exact ones and not the same.
#include "tensor_core/fast_dot.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <string>

#include "draw.hpp"
#include "fault.hpp"
#include "tensor_core/wgmma.hpp"

namespace octavo::emulator::tensor_core {
namespace {

double value_of(const Format& format, std::uint32_t bits) {
  const Number number = decode(format, bits);
  const double magnitude = std::ldexp(number.significand, number.exponent - kFractionBits);
  return number.kind == Number::Kind::zero ? 0 : number.negative ? -magnitude : magnitude;
}

TEST_CASE("fast products are those of fp32") {
  using enum Element;
  Random random(5);
  for (const Element element : {f16, bf16, tf32, e4m3, e5m2})
    for (const Accumulator accumulator : {Accumulator::f32, Accumulator::f16})
      for (const bool subnormal : {false, true}) {
        CAPTURE(static_cast<int>(element));
        CAPTURE(subnormal);
        const int k = 32 / bytes_of(element);
        const Format format = format_of(element);
        const Format c_format = accumulator == Accumulator::f16 ? kF16 : kF32;
        Tile tile;
        for (auto& row : tile.a)
          for (auto& bits : row) {
            bits = draw(format, Inputs::near_one, random);
            if (subnormal) bits &= (1u << format.fraction_bits) - 1;
          }
        for (auto& row : tile.b)
          for (auto& bits : row) bits = draw(format, Inputs::near_one, random);
        for (auto& row : tile.c)
          for (auto& bits : row) bits = draw(c_format, Inputs::near_one, random);
        const Tile before = tile;
        rows_to_fp32(element, k, tile);
        fast_tile_dot(accumulator, element, k, tile);
        for (int row = 0; row < kTileRows; ++row)
          for (int column = 0; column < kTileColumns; ++column) {
            double sum = value_of(c_format, before.c[row][column]), size = std::abs(sum);
            for (int i = 0; i < k; ++i) {
              const double product =
                  value_of(format, before.a[row][i]) * value_of(format, before.b[i][column]);
              sum += product;
              size += std::abs(product);
            }
            const double got = value_of(c_format, tile.c[row][column]);
            const double half_ulp = accumulator == Accumulator::f16 ? 0x1p-11 : 0x1p-24;
            REQUIRE(std::abs(got - sum) <= std::abs(sum) * half_ulp + size * k * 0x1p-24);
          }
      }
}

TEST_CASE("specials in fast products") {
  for (const auto& [bits, expected] :
       {std::pair{0x7F80u, 0x7F800000u}, {0xFF80u, 0xFF800000u}, {0x0001u, 0x00010000u}}) {
    Tile tile{};
    tile.a[0][0] = bits;
    tile.b[0][0] = 0x3F80;
    rows_to_fp32(Element::bf16, 8, tile);
    fast_tile_dot(Accumulator::f32, Element::bf16, 8, tile);
    CHECK(tile.c[0][0] == expected);
  }
  for (const auto& [element, bits] : {std::pair{Element::e4m3, 0x7Fu}, {Element::e5m2, 0x7Du}}) {
    Tile tile{};
    tile.a[2][1] = 0x40;
    tile.b[1][3] = bits;
    rows_to_fp32(element, 8, tile);
    fast_tile_dot(Accumulator::f16, element, 8, tile);
    CHECK(tile.c[2][3] == 0x7FFF);
    CHECK(tile.c[2][4] == 0);
  }
}

TEST_CASE("wgmma is exact unless OCTAVO_NUMERICS says fast") {
  const WgmmaShape shape{8, Element::e4m3, Element::e4m3, Accumulator::f32};
  const std::vector<std::uint32_t> a(kWgmmaWords), b(kWgmmaColumnWords);
  std::vector<std::uint32_t> d(128, 0x3F8003FF);
  wgmma(shape, false, a.data(), b.data(), d.data());
  CHECK(d[0] == 0x3F800000);  // the accumulator of 14 bits
  setenv("OCTAVO_NUMERICS", "fast", 1);
  set_numerics(numerics_from_environment());
  d.assign(128, 0x3F8003FF);
  wgmma(shape, false, a.data(), b.data(), d.data());
  CHECK(d[0] == 0x3F8003FF);
  setenv("OCTAVO_NUMERICS", "quick", 1);
  CHECK_THROWS_WITH_AS(numerics_from_environment(), "OCTAVO_NUMERICS=quick: must be exact or fast",
                       Fault);
  unsetenv("OCTAVO_NUMERICS");
  set_numerics(numerics_from_environment());
  d.assign(128, 0x3F8003FF);
  wgmma(shape, false, a.data(), b.data(), d.data());
  CHECK(d[0] == 0x3F800000);
}

}  // namespace
}  // namespace octavo::emulator::tensor_core
