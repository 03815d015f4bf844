// Tensor-core number formats, one number at a time: what the encoded bits stand for, and how an
// exact fixed-point result is encoded again.
#pragma once

#include <cstdint>

#include "tensor_core/mma.hpp"

namespace octavo::emulator::tensor_core {

// Decoded numbers have this many fraction bits, enough for every format here.
inline constexpr int kFractionBits = 23;

// (-1)^negative * significand * 2^(exponent - kFractionBits). A subnormal keeps its format's lowest
// exponent and has a significand below 1: the hardware does not normalise it.
struct Number {
  enum class Kind : std::uint8_t { zero, finite, infinite, nan };
  Kind kind = Kind::zero;
  bool negative = false;
  int exponent = 0;
  std::uint32_t significand = 0;
};

// How a format lays out its bits: sign, exponent, fraction, from the top.
struct Format {
  int bits, fraction_bits, bias;
  bool has_infinity;     // else the top exponent is ordinary and only all-ones is NaN (e4m3)
  int ignored_bits = 0;  // low bits that are cleared first (tf32)

  constexpr int lowest_exponent() const { return 1 - bias; }
};

inline constexpr Format kF32{32, 23, 127, true};
inline constexpr Format kF16{16, 10, 15, true};

// Floating-point elements only.
constexpr Format format_of(Element element) {
  switch (element) {
    case Element::f16:
      return kF16;
    case Element::bf16:
      return {16, 7, 127, true};
    case Element::tf32:
      return {32, 23, 127, true, 13};
    case Element::e4m3:
      return {8, 3, 7, false};
    case Element::e5m2:
      return {8, 2, 15, true};
    case Element::s8:
    case Element::u8:
      break;
  }
  return {};
}

constexpr int bytes_of(Element element) {
  switch (element) {
    case Element::tf32:
      return 4;
    case Element::f16:
    case Element::bf16:
      return 2;
    default:
      return 1;
  }
}

Number decode(const Format& format, std::uint32_t bits);

enum class Rounding : std::uint8_t {
  rz_fp32,   // toward zero, 23 fraction bits
  rz_e8m13,  // toward zero, 13 fraction bits: the low 10 bits of the fp32 are zero
  rne_fp16,  // to nearest even, in fp16
};

// Encodes sum * 2^unit_exponent: in fp32, or in fp16 for rne_fp16. Overflow is infinite however it
// rounds, as in the hardware; zero is +0.
std::uint32_t encode(Rounding rounding, std::int64_t sum, int unit_exponent);

// The exact value of an fp8 number in fp16, as cvt.rn.f16x2.{e4m3x2,e5m2x2} gives it.
std::uint16_t f16_from_fp8(Element element, std::uint8_t bits);

}  // namespace octavo::emulator::tensor_core
