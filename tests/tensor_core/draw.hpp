// Numbers of any format to multiply, drawn in several ways.
#pragma once

#include <cstdint>
#include <random>

#include "tensor_core/number.hpp"

namespace octavo::emulator::tensor_core {

using Random = std::mt19937;

inline std::uint32_t any_bits(Random& random) { return static_cast<std::uint32_t>(random()); }

inline bool special(const Format& format, std::uint32_t bits) {
  const auto kind = decode(format, bits).kind;
  return kind == Number::Kind::nan || kind == Number::Kind::infinite;
}

// How numbers of any format are drawn.
enum class Inputs {
  any_finite,
  near_one,
  mostly_zero,
  subnormal,
  tiny_and_huge,
  all_ones,  // the largest significands with one exponent and sign: the longest sums
  with_specials,
};
inline constexpr Inputs kInputs[] = {
    Inputs::any_finite,    Inputs::near_one, Inputs::mostly_zero,   Inputs::subnormal,
    Inputs::tiny_and_huge, Inputs::all_ones, Inputs::with_specials,
};

inline std::uint32_t draw(const Format& format, Inputs inputs, Random& random) {
  const std::uint32_t all = format.bits == 32 ? ~0u : (1u << format.bits) - 1;
  const std::uint32_t sign = 1u << (format.bits - 1);
  const std::uint32_t fraction = (1u << format.fraction_bits) - 1;
  const std::uint32_t exponent_field = all & ~sign & ~fraction;
  std::uint32_t bits = any_bits(random) & all;
  const auto with_exponent = [&](int exponent) {
    const auto field = static_cast<std::uint32_t>(exponent + format.bias);
    return (bits & (sign | fraction)) | field << format.fraction_bits;
  };
  switch (inputs) {
    case Inputs::any_finite:
      break;
    case Inputs::near_one:
      bits = with_exponent(static_cast<int>(random() % 5) - 2);
      break;
    case Inputs::mostly_zero:
      if (random() % 4) bits &= sign;
      break;
    case Inputs::subnormal:
      if (random() % 4) bits &= sign | fraction;
      break;
    case Inputs::tiny_and_huge:
      bits = (bits & (sign | fraction)) |
             (random() % 2 ? 1u << format.fraction_bits : exponent_field - fraction - 1);
      break;
    case Inputs::all_ones:
      bits = (with_exponent(0) & ~sign) | fraction;
      break;
    case Inputs::with_specials:
      if (random() % 40 == 0) bits |= exponent_field | (random() % 2 ? fraction : 0);
      if (random() % 40 == 0) bits = (bits & sign) | exponent_field;
      if (random() % 40 == 0) bits &= sign;
      return bits;
  }
  return special(format, bits) ? bits & ~exponent_field : bits;
}

}  // namespace octavo::emulator::tensor_core
