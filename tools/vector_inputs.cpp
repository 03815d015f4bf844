#include "tools/vector_inputs.hpp"

#include <algorithm>

namespace octavo {
namespace {

constexpr int kEveryExponent = 200;  // beyond what any format has, so that all are drawn

std::uint32_t signed_bits(Random& random, const FloatFormat& format, std::uint32_t magnitude) {
  const auto sign = static_cast<std::uint32_t>(random.next() & 1);
  return sign << (format.bits() - 1) | magnitude;
}

std::uint32_t largest_finite(const FloatFormat& format) {
  const std::uint32_t infinity = ((1u << format.exponent_bits) - 1) << format.fraction_bits;
  return format.has_infinity ? infinity - 1 : (1u << (format.bits() - 1)) - 2;
}

}  // namespace

std::uint32_t draw_number(Random& random, const FloatFormat& format, int low, int high) {
  const int most = static_cast<int>(largest_finite(format) >> format.fraction_bits);
  const int first = std::clamp(low + format.bias(), 0, most);
  const int last = std::clamp(high + format.bias(), 0, most);
  const auto exponent = static_cast<std::uint32_t>(random.between(first, last));
  const auto fraction =
      static_cast<std::uint32_t>(random.next() & ((std::uint64_t{1} << format.fraction_bits) - 1));
  return signed_bits(random, format,
                     std::min(exponent << format.fraction_bits | fraction, largest_finite(format)));
}

std::uint32_t draw_special(Random& random, const FloatFormat& format) {
  const std::uint32_t after = largest_finite(format) + 1;  // infinity, or e4m3's NaN
  const std::uint32_t nan = format.has_infinity ? after | 1u << (format.fraction_bits - 1) : after;
  const std::uint32_t magnitudes[] = {nan, after, largest_finite(format), 1, 0};
  return signed_bits(random, format, magnitudes[random.between(0, 4)]);
}

std::uint32_t draw_element(Random& random, const FloatFormat& format, InputKind kind) {
  switch (kind) {
    case InputKind::any_finite:
      return draw_number(random, format, -kEveryExponent, kEveryExponent);
    case InputKind::near_one:
      return draw_number(random, format, -2, 1);
    case InputKind::mostly_zero:
      return random.one_in(4) ? draw_number(random, format, -kEveryExponent, kEveryExponent)
                              : signed_bits(random, format, 0);
    case InputKind::with_specials:
      break;
  }
  // Rare, so that half of the products of 16 have none.
  return random.one_in(48) ? draw_special(random, format) : draw_number(random, format, -2, 1);
}

std::uint32_t draw_accumulator(Random& random, const FloatFormat& format, InputKind kind) {
  switch (kind) {
    case InputKind::any_finite:
      return draw_number(random, format, -30, 30);
    case InputKind::near_one:
      return draw_number(random, format, -6, 6);
    case InputKind::mostly_zero:
      return draw_number(random, format, -kEveryExponent, kEveryExponent);
    case InputKind::with_specials:
      break;
  }
  return random.one_in(8) ? draw_special(random, format) : draw_number(random, format, -6, 6);
}

}  // namespace octavo
