// Numbers drawn for hardware vectors: where tensor cores and special functions tell themselves
// apart. Deterministic, so that two devices are given the same.
#pragma once

#include <cstdint>
#include <string_view>

namespace octavo {

// SplitMix64 (Steele, Lea and Flood, 2014).
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
  }
  // Of low .. high.
  int between(int low, int high) {
    return low + static_cast<int>(next() % static_cast<std::uint64_t>(
                                               static_cast<std::int64_t>(high) - low + 1));
  }
  bool one_in(int count) { return next() % static_cast<std::uint64_t>(count) == 0; }

 private:
  std::uint64_t state_;
};

// A floating-point format, by the widths of its fields.
struct FloatFormat {
  std::string_view name;
  int exponent_bits, fraction_bits;
  bool has_infinity = true;  // e4m3 has none, and its NaN is the largest code alone

  int bits() const { return 1 + exponent_bits + fraction_bits; }
  int bias() const { return (1 << (exponent_bits - 1)) - 1; }
};

inline constexpr FloatFormat kF32{"f32", 8, 23}, kF16{"f16", 5, 10};

// A finite number: sign and fraction at random, the exponent evenly among low .. high as far as the
// format has them, below its normal ones subnormal.
std::uint32_t draw_number(Random& random, const FloatFormat& format, int low, int high);

// One of NaN, infinity, the largest finite number, the smallest subnormal and zero, of either sign.
std::uint32_t draw_special(Random& random, const FloatFormat& format);

// What the rows of a tensor core's file take in turn.
enum class InputKind { any_finite, near_one, mostly_zero, with_specials };
constexpr int kInputKinds = 4;

std::uint32_t draw_element(Random& random, const FloatFormat& format, InputKind kind);
std::uint32_t draw_accumulator(Random& random, const FloatFormat& format, InputKind kind);

}  // namespace octavo
