// Number formats, and arithmetic rounded to them.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace octavo::emulator {

inline float float_of(std::uint32_t bits) { return std::bit_cast<float>(bits); }
inline double double_of(std::uint64_t bits) { return std::bit_cast<double>(bits); }
inline std::uint32_t bits_of(float value) { return std::bit_cast<std::uint32_t>(value); }
inline std::uint64_t bits_of(double value) { return std::bit_cast<std::uint64_t>(value); }

// Every f32 NaN that an instruction makes is this one.
inline std::uint32_t canonical(std::uint32_t f32) {
  return (f32 & 0x7FFFFFFFu) > 0x7F800000u ? 0x7FFFFFFFu : f32;
}
// .ftz: subnormals become zeros of their sign.
inline std::uint32_t flush(std::uint32_t f32) {
  return (f32 & 0x7F800000u) == 0 ? f32 & 0x80000000u : f32;
}

enum class Rounding : std::uint8_t { nearest, zero, down, up };
double round_integer(double value, Rounding rounding);

// A binary floating-point format of up to 16 bits.
struct Format {
  int exponent_bits, mantissa_bits;
  bool infinity;  // false for e4m3, whose top binade holds numbers
  int bias() const { return (1 << (exponent_bits - 1)) - 1; }
  double largest() const;
  std::uint32_t nan() const;
};
inline constexpr Format kF16{5, 10, true}, kBf16{8, 7, true}, kE4m3{4, 3, false}, kE5m2{5, 2, true};

double decode(std::uint32_t bits, const Format& format);
// The format's number nearest to `value` in this direction. Beyond the largest: infinity, or with
// `saturate` the largest; without an infinity always the largest.
std::uint32_t encode(double value, const Format& format, Rounding rounding, bool saturate);

// x + y rounded to odd: rounding the result once more, to fewer bits, is rounding the exact sum.
double add_to_odd(double x, double y);

std::uint16_t add_f16(std::uint16_t a, std::uint16_t b);
std::uint16_t add_bf16(std::uint16_t a, std::uint16_t b);

}  // namespace octavo::emulator
