#include "tensor_core/number.hpp"

#include <algorithm>
#include <bit>

namespace octavo::emulator::tensor_core {

Number decode(const Format& format, std::uint32_t bits) {
  const int exponent_bits = format.bits - 1 - format.fraction_bits;
  const std::uint32_t top_exponent = (1u << exponent_bits) - 1;
  bits &= ~((1u << format.ignored_bits) - 1);
  const std::uint32_t fraction = bits & ((1u << format.fraction_bits) - 1);
  const std::uint32_t exponent = (bits >> format.fraction_bits) & top_exponent;

  Number number;
  number.negative = (bits >> (format.bits - 1)) & 1;
  if (format.has_infinity && exponent == top_exponent) {
    number.kind = fraction ? Number::Kind::nan : Number::Kind::infinite;
    return number;
  }
  if (!format.has_infinity && exponent == top_exponent &&
      fraction == (1u << format.fraction_bits) - 1) {
    number.kind = Number::Kind::nan;
    return number;
  }
  const std::uint32_t implicit = exponent ? 1u << format.fraction_bits : 0;
  if ((implicit | fraction) == 0) return number;
  number.kind = Number::Kind::finite;
  number.exponent = std::max(static_cast<int>(exponent), 1) - format.bias;
  number.significand = (implicit | fraction) << (kFractionBits - format.fraction_bits);
  return number;
}

std::uint32_t encode(Rounding rounding, std::int64_t sum, int unit_exponent) {
  if (sum == 0) return 0;
  const Format& format = rounding == Rounding::rne_fp16 ? kF16 : kF32;
  const int kept_bits = rounding == Rounding::rz_e8m13 ? 13 : format.fraction_bits;
  const bool negative = sum < 0;
  std::uint64_t magnitude =
      negative ? 0 - static_cast<std::uint64_t>(sum) : static_cast<std::uint64_t>(sum);

  const int highest_bit = static_cast<int>(std::bit_width(magnitude)) - 1;
  const int exponent = std::max(highest_bit + unit_exponent, format.lowest_exponent());
  // Brings the last bit kept to the unit's place.
  const int shift = exponent - kept_bits - unit_exponent;
  if (shift <= 0) {
    magnitude <<= -shift;
  } else if (shift > 63) {
    magnitude = 0;
  } else {
    const std::uint64_t rest = magnitude & ((std::uint64_t{1} << shift) - 1);
    const std::uint64_t half = std::uint64_t{1} << (shift - 1);
    magnitude >>= shift;
    if (rounding == Rounding::rne_fp16 && (rest > half || (rest == half && (magnitude & 1))))
      ++magnitude;
  }
  magnitude <<= format.fraction_bits - kept_bits;
  // The implicit bit of a normal number, and a carry out of the fraction, add one to the exponent.
  const std::uint64_t infinity = ((1u << (format.bits - 1 - format.fraction_bits)) - 1)
                                 << format.fraction_bits;
  const std::uint64_t field = static_cast<std::uint64_t>(exponent - format.lowest_exponent());
  const std::uint64_t encoded = std::min((field << format.fraction_bits) + magnitude, infinity);
  const bool sign = negative && encoded != 0;  // what rounds to zero is +0, as on an H100
  return static_cast<std::uint32_t>(encoded) | (sign ? 1u << (format.bits - 1) : 0);
}

std::uint16_t f16_from_fp8(Element element, std::uint8_t bits) {
  const Number number = decode(format_of(element), bits);
  const auto sign = static_cast<std::uint16_t>((bits & 0x80) << 8);
  switch (number.kind) {
    case Number::Kind::nan:
      return 0x7FFF;
    case Number::Kind::infinite:
      return sign | 0x7C00;
    case Number::Kind::zero:
      return sign;
    case Number::Kind::finite:
      break;
  }
  const std::uint32_t magnitude =
      encode(Rounding::rne_fp16, number.significand, number.exponent - kFractionBits);
  return static_cast<std::uint16_t>(sign | magnitude);
}

}  // namespace octavo::emulator::tensor_core
