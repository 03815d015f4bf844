#include "tensor_core/fast_dot.hpp"

#include <fmt/core.h>

#include <atomic>
#include <bit>
#include <cstdlib>
#include <string_view>

#include "fault.hpp"
#include "tensor_core/vector.hpp"

namespace octavo::emulator::tensor_core {
namespace {

std::atomic<Numerics> chosen{Numerics::exact};

constexpr int kFp32Infinity = 0x7F800000;

// Subnormals too: the exponent's difference is a factor.
OCTAVO_INLINE Ints8 to_fp32(const Format& format, Ints8 bits) {
  const int highest = static_cast<int>((1u << (format.bits - 1)) - 1);  // without the sign
  bits &= ~((1 << format.ignored_bits) - 1);
  const Ints8 magnitude = bits & highest;
  const Ints8 sign = bits << (32 - format.bits) & INT32_MIN;
  if (format.fraction_bits == kF32.fraction_bits) return magnitude | sign;
  const auto rebias = std::bit_cast<float>((2 * kF32.bias - format.bias) << kF32.fraction_bits);
  Ints8 value = bits_of<Ints8>(
      bits_of<Floats8>(magnitude << (kF32.fraction_bits - format.fraction_bits)) * rebias);
  const int infinity = highest & ~((1 << format.fraction_bits) - 1);
  const Ints8 nan = format.has_infinity ? magnitude > infinity : magnitude == highest;
  if (format.has_infinity) value = choose(magnitude == infinity, splat(kFp32Infinity), value);
  return choose(nan, splat(kFp32Infinity | 1), value) | sign;
}

OCTAVO_INLINE void convert_rows(Element a, int k, Tile* tile) {
  const Format format = format_of(a);
  for (auto& row : tile->a)
    for (int i = 0; i < k; i += 8) store(&row[i], to_fp32(format, load<Ints8>(&row[i])));
}

OCTAVO_INLINE void add_products(Element b, int k, Tile* tile) {
  const Format format = format_of(b);
  Floats8 columns[kTileMaxK];
  for (int i = 0; i < k; ++i)
    columns[i] = bits_of<Floats8>(to_fp32(format, load<Ints8>(tile->b[i])));
  for (int row = 0; row < kTileRows; ++row) {
    auto sum = load<Floats8>(tile->c[row]);
    for (int i = 0; i < k; ++i)
      sum += columns[i] * bits_of<Floats8>(splat(static_cast<int>(tile->a[row][i])));
    store(tile->c[row], sum);
  }
}

std::uint32_t f32_from_f16(std::uint32_t bits) {
  const Number number = decode(kF16, bits);
  const std::uint32_t sign = number.negative ? 0x80000000 : 0;
  if (number.kind == Number::Kind::nan) return kFp32Infinity | 1;
  if (number.kind == Number::Kind::infinite) return sign | kFp32Infinity;
  return sign | encode(Rounding::rz_fp32, number.significand, number.exponent - kFractionBits);
}

std::uint32_t f16_from_f32(std::uint32_t bits) {
  const Number number = decode(kF32, bits);
  const std::uint32_t sign = number.negative ? 0x8000 : 0;
  if (number.kind == Number::Kind::nan) return 0x7FFF;
  if (number.kind == Number::Kind::infinite) return sign | 0x7C00;
  return sign | encode(Rounding::rne_fp16, number.significand, number.exponent - kFractionBits);
}

}  // namespace

Numerics numerics_from_environment() {
  const char* text = std::getenv("OCTAVO_NUMERICS");
  if (text == nullptr || std::string_view(text) == "exact") return Numerics::exact;
  if (std::string_view(text) == "fast") return Numerics::fast;
  throw Fault(CUDA_ERROR_INVALID_VALUE,
              fmt::format("OCTAVO_NUMERICS={}: must be exact or fast", text));
}

void set_numerics(Numerics numerics) { chosen.store(numerics, std::memory_order_relaxed); }
Numerics numerics() { return chosen.load(std::memory_order_relaxed); }

void rows_to_fp32(Element a, int k, Tile& tile) { vectorised<convert_rows>(a, k, &tile); }

void fast_tile_dot(Accumulator accumulator, Element b, int k, Tile& tile) {
  const bool halves = accumulator == Accumulator::f16;
  const auto convert_c = [&](std::uint32_t (*convert)(std::uint32_t)) {
    for (auto& row : tile.c)
      for (auto& c : row) c = convert(c);
  };
  if (halves) convert_c(f32_from_f16);
  vectorised<add_products>(b, k, &tile);
  if (halves) convert_c(f16_from_f32);
}

}  // namespace octavo::emulator::tensor_core
