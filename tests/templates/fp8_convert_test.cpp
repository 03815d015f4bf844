// The integer fp8 conversions, compiled for the host, against a search for the nearest value.
#include <doctest/doctest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#define __device__
static unsigned __float_as_uint(float value) { return std::bit_cast<unsigned>(value); }
static float __uint_as_float(unsigned bits) { return std::bit_cast<float>(bits); }
static unsigned __byte_perm(unsigned low, unsigned high, unsigned selector) {
  const std::uint64_t bytes = std::uint64_t{high} << 32 | low;
  unsigned result = 0;
  for (int i = 0; i < 4; ++i) {
    result |= static_cast<unsigned>(bytes >> (selector >> 4 * i & 7) * 8 & 0xff) << 8 * i;
  }
  return result;
}
#include "fp8_convert/integer.cuh"

namespace octavo {
namespace {

// A binary format by its number of fraction bits and bias, as IEEE 754 lays it out.
struct Format {
  int fraction_bits;
  int exponent_bits;
  bool has_infinity;

  double value(unsigned code) const {
    const int bias = (1 << (exponent_bits - 1)) - 1;
    const int sign_bit = fraction_bits + exponent_bits;
    const double fraction = code & ((1u << fraction_bits) - 1);
    const int exponent = static_cast<int>(code >> fraction_bits & ((1u << exponent_bits) - 1));
    const double sign = code >> sign_bit & 1 ? -1 : 1;
    if (has_infinity && exponent == (1 << exponent_bits) - 1) {
      return fraction == 0 ? sign * HUGE_VAL : std::nan("");
    }
    if (!has_infinity && (code | 1u << sign_bit) == (2u << sign_bit) - 1) return std::nan("");
    const double significand = exponent == 0 ? fraction : fraction + (1 << fraction_bits);
    return sign * std::ldexp(significand, std::max(exponent, 1) - bias - fraction_bits);
  }
};

constexpr Format kE4m3{3, 4, false};
constexpr Format kE5m2{2, 5, true};
constexpr Format kFp16{10, 5, true};
constexpr Format kBf16{7, 8, true};

// The code of the finite value nearest to x, of two the one with an even code.
unsigned nearest(const Format& format, float x, unsigned largest) {
  if (std::isnan(x)) return 0x7f;
  const double magnitude = std::fabs(static_cast<double>(x));
  unsigned low = 0;  // the largest code whose value is at most the magnitude
  for (unsigned step = 64; step > 0; step /= 2) {
    if (low + step <= largest && format.value(low + step) <= magnitude) low += step;
  }
  unsigned code = low;
  if (low < largest) {
    const double below = magnitude - format.value(low);
    const double above = format.value(low + 1) - magnitude;
    if (above < below || (above == below && low % 2 == 1)) code = low + 1;
  }
  return code | (std::signbit(x) ? 0x80 : 0);
}

bool same(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) || (a == b && std::signbit(a) == std::signbit(b));
}

// Every value whose upper 16 bits are any and whose lower bits put it on a tie or beside one.
template <class Check>
void for_dense_values(const Check& check) {
  constexpr std::array<unsigned, 9> kLow{0, 1, 2, 0x7fff, 0x8000, 0x8001, 0xabcd, 0xfffe, 0xffff};
  for (unsigned high = 0; high < 0x10000; ++high) {
    for (unsigned low : kLow) check(std::bit_cast<float>(high << 16 | low));
  }
}

int wrong(const Format& format, unsigned largest, unsigned (*convert)(float)) {
  int count = 0;
  for_dense_values([&](float x) { count += convert(x) != nearest(format, x, largest); });
  return count;
}

// Pairs whose fields stand for something else than their values divided by 2^shift.
int wrong_fields(const Format& from, const Format& to, int shift,
                 unsigned (*fields)(unsigned short)) {
  int count = 0;
  for (unsigned pair = 0; pair < 0x10000; ++pair) {
    const unsigned halves = fields(static_cast<unsigned short>(pair));
    for (int i = 0; i < 2; ++i) {
      const double value = std::ldexp(from.value(pair >> 8 * i & 0xff), -shift);
      count += !same(to.value(halves >> 16 * i & 0xffff), value);
    }
  }
  return count;
}

}  // namespace

TEST_CASE("fp32 to e4m3 rounds to nearest even and saturates") {
  CHECK(wrong(kE4m3, 0x7e, Fp8Convert::e4m3) == 0);
  CHECK(Fp8Convert::e4m3(464) == 0x7e);
  CHECK(Fp8Convert::e4m3(-std::numeric_limits<float>::infinity()) == 0xfe);
  CHECK(Fp8Convert::e4m3(-std::numeric_limits<float>::quiet_NaN()) == 0x7f);
  CHECK(Fp8Convert::e4m3(-0x1p-10f) == 0x80);  // a tie with zero
  CHECK(Fp8Convert::e4m3(0x1.000002p-10f) == 0x01);
}

TEST_CASE("fp32 to e5m2 rounds to nearest even and saturates") {
  CHECK(wrong(kE5m2, 0x7b, Fp8Convert::e5m2) == 0);
  CHECK(Fp8Convert::e5m2(std::numeric_limits<float>::infinity()) == 0x7b);
  CHECK(Fp8Convert::e5m2(std::numeric_limits<float>::quiet_NaN()) == 0x7f);
  CHECK(Fp8Convert::e5m2(0x1p-17f) == 0x00);
}

TEST_CASE("a pair's first value is the low byte") {
  CHECK(Fp8Convert::e4m3x2(1, 2) == 0x4038);
  CHECK(Fp8Convert::e5m2x2(1, 2) == 0x403c);
}

TEST_CASE("fp8 to 16 bits: all pairs, up to the exact multiplication") {
  CHECK(wrong_fields(kE4m3, kFp16, 8, Fp8Convert::e4m3_fields_f16) == 0);
  CHECK(wrong_fields(kE4m3, kBf16, 120, Fp8Convert::e4m3_fields) == 0);
  CHECK(wrong_fields(kE5m2, kBf16, 112, Fp8Convert::e5m2_fields) == 0);
}

}  // namespace octavo
