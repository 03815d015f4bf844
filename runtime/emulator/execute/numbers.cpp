#include "execute/numbers.hpp"

namespace octavo::emulator {

double Format::largest() const {
  const int top = infinity ? (1 << exponent_bits) - 2 : (1 << exponent_bits) - 1;
  const int mantissa = infinity ? (1 << mantissa_bits) - 1 : (1 << mantissa_bits) - 2;
  return std::ldexp(1.0 + std::ldexp(mantissa, -mantissa_bits), top - bias());
}

std::uint32_t Format::nan() const { return (1u << (exponent_bits + mantissa_bits)) - 1; }

double decode(std::uint32_t bits, const Format& format) {
  const std::uint32_t mantissa = bits & ((1u << format.mantissa_bits) - 1);
  const std::uint32_t exponents = (1u << format.exponent_bits) - 1;
  const auto exponent = static_cast<int>(bits >> format.mantissa_bits & exponents);
  const bool negative = (bits >> (format.exponent_bits + format.mantissa_bits) & 1) != 0;
  double value;
  if (exponent == static_cast<int>(exponents) &&
      (format.infinity || mantissa == (1u << format.mantissa_bits) - 1)) {
    value = format.infinity && mantissa == 0 ? INFINITY : std::nan("");
  } else if (exponent == 0) {
    value = std::ldexp(mantissa, 1 - format.bias() - format.mantissa_bits);
  } else {
    value = std::ldexp((1u << format.mantissa_bits) + mantissa,
                       exponent - format.bias() - format.mantissa_bits);
  }
  return negative ? -value : value;
}

double round_integer(double value, Rounding rounding) {
  switch (rounding) {
    case Rounding::nearest:
      return std::nearbyint(value);
    case Rounding::zero:
      return std::trunc(value);
    case Rounding::down:
      return std::floor(value);
    case Rounding::up:
      break;
  }
  return std::ceil(value);
}

std::uint32_t encode(double value, const Format& format, Rounding rounding, bool saturate) {
  if (std::isnan(value)) return format.nan();
  const std::uint32_t sign =
      std::signbit(value) ? 1u << (format.exponent_bits + format.mantissa_bits) : 0;
  if (value == 0) return sign;
  const int lowest = 1 - format.bias();
  double magnitude = std::fabs(value);
  if (std::isfinite(value)) {
    const int exponent = std::ilogb(value) < lowest ? lowest : std::ilogb(value);
    const int quantum = exponent - format.mantissa_bits;
    magnitude =
        std::fabs(std::ldexp(round_integer(std::ldexp(value, -quantum), rounding), quantum));
  }
  const double largest = format.largest();
  if (magnitude > largest) {
    // Directed rounding never passes the largest number in the direction it refuses.
    const bool inward = rounding == Rounding::zero || (rounding == Rounding::down && sign == 0) ||
                        (rounding == Rounding::up && sign != 0);
    const bool keep = saturate || !format.infinity || (inward && std::isfinite(value));
    if (!keep) return sign | ((1u << format.exponent_bits) - 1) << format.mantissa_bits;
    magnitude = largest;
  }
  if (magnitude == 0) return sign;
  const int exponent = std::ilogb(magnitude);
  const int at = exponent < lowest ? lowest : exponent;
  const auto scaled = static_cast<std::uint32_t>(std::ldexp(magnitude, format.mantissa_bits - at));
  // A subnormal lacks the hidden bit, which is what moves the exponent field from 0 to 1.
  return sign | (scaled + (static_cast<std::uint32_t>(at - lowest) << format.mantissa_bits));
}

double add_to_odd(double x, double y) {
  const double sum = x + y;
  if (!std::isfinite(sum)) return sum;
  const double back = sum - x;
  const double error = (x - (sum - back)) + (y - back);
  const std::uint64_t bits = bits_of(sum);
  if (error == 0 || (bits & 1) != 0) return sum;
  return double_of((error > 0) == (sum > 0) ? bits + 1 : bits - 1);
}

std::uint16_t add_f16(std::uint16_t a, std::uint16_t b) {
  return static_cast<std::uint16_t>(
      encode(decode(a, kF16) + decode(b, kF16), kF16, Rounding::nearest, false));
}

std::uint16_t add_bf16(std::uint16_t a, std::uint16_t b) {
  return static_cast<std::uint16_t>(
      encode(add_to_odd(decode(a, kBf16), decode(b, kBf16)), kBf16, Rounding::nearest, false));
}

}  // namespace octavo::emulator
