// What an H100's special function unit computes of the bits of eight fp32. It takes subnormal
// numbers for zeros and gives none, but for tanh.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "tensor_core/special_tables.hpp"
#include "tensor_core/vector.hpp"

namespace octavo::emulator::tensor_core {

inline constexpr int kSign = std::numeric_limits<int>::min(), kNan = 0x7FFFFFFF,
                     kInfinity = 0x7F800000;
inline constexpr int kLowestNormal = 0x00800000, kMantissa = 0x007FFFFF, kOne = 0x3F800000;
inline constexpr int kMantissaBits = 23, kBias = 127;

// A segment's coefficients of 1, x and truncated_square(x) as the numbers that they stand for. Sums
// of their products with integers are exact in double.
struct alignas(32) Row {
  double c0, c1, c2, unused;
};

template <Interpolation kTable, std::size_t kCount>
struct Rows {
  Row rows[kCount];

  explicit Rows(const Segment (&segments)[kCount]) {
    std::ranges::transform(segments, rows, [](const Segment& segment) {
      const auto c0 = (std::int64_t{segment.c0} << kTable.c0_shift) + kTable.bias;
      return Row{std::ldexp(c0, -kTable.scale), std::ldexp(segment.c1, -kTable.scale),
                 std::ldexp(segment.c2, kTable.c2_shift - kTable.scale), 0};
    });
  }
};

inline const Rows<kEx2, 64> kEx2Rows(kEx2Segments);
inline const Rows<kLg2, 64> kLg2Rows(kLg2Segments);
inline const Rows<kRcp, 128> kRcpRows(kRcpSegments);
inline const Rows<kRsqrt, 128> kRsqrtRows(kRsqrtSegments);
inline const Rows<kSqrt, 128> kSqrtRows(kSqrtSegments);

inline const Rows<kSin, 64> kSinRows(kSinSegments);
inline const Rows<kTanh, 51> kTanhRows(kTanhSegments);

struct Doubles8 {
  Doubles4 low, high;
};

// With x = 2^9 h + l: of h's own products all but the square of its last bit reach 2^19, of l's own
// none, and of h's bit k with l those with l's bits from 9 - k up.
OCTAVO_INLINE Ints8 truncated_square(Ints8 x) {
  const Ints8 h = x >> 9, l = x & 511;
  Ints8 sum = (h * h - (h & 1)) >> 1;
#pragma GCC unroll 7
  for (int k = 1; k <= 7; ++k) sum += (l >> (9 - k)) & -((h >> k) & 1);
  return sum;
}

OCTAVO_INLINE Ints8 join(Ints4 low, Ints4 high) {
  return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7);
}

OCTAVO_INLINE Doubles4 to_doubles(Ints4 x) { return __builtin_convertvector(x, Doubles4); }

OCTAVO_INLINE Doubles4 interpolate(const Row* rows, Ints4 segment, Ints4 x, Ints4 square) {
  const auto a = load<Doubles4>(rows + segment[0]), b = load<Doubles4>(rows + segment[1]);
  const auto c = load<Doubles4>(rows + segment[2]), d = load<Doubles4>(rows + segment[3]);
  const Doubles4 even_ab = __builtin_shufflevector(a, b, 0, 4, 2, 6);
  const Doubles4 even_cd = __builtin_shufflevector(c, d, 0, 4, 2, 6);
  const Doubles4 c0 = __builtin_shufflevector(even_ab, even_cd, 0, 1, 4, 5);
  const Doubles4 c2 = __builtin_shufflevector(even_ab, even_cd, 2, 3, 6, 7);
  const Doubles4 odd_ab = __builtin_shufflevector(a, b, 1, 5, 3, 7);
  const Doubles4 odd_cd = __builtin_shufflevector(c, d, 1, 5, 3, 7);
  const Doubles4 c1 = __builtin_shufflevector(odd_ab, odd_cd, 0, 1, 4, 5);
  return c0 + c1 * to_doubles(x) + c2 * to_doubles(square);
}

OCTAVO_INLINE Doubles8 interpolate(const Row* rows, Ints8 segment, Ints8 x) {
  const Ints8 square = truncated_square(x);
  return {interpolate(rows, low_half(segment), low_half(x), low_half(square)),
          interpolate(rows, high_half(segment), high_half(x), high_half(square))};
}

// The exact sum for a fraction of 23 bits. `half` chooses the table's first or second 64 segments.
template <Interpolation kTable, std::size_t kCount>
OCTAVO_INLINE Doubles8 interpolate(const Rows<kTable, kCount>& table, Ints8 fraction,
                                   Ints8 half = splat(0)) {
  constexpr int kUnused = kMantissaBits - kTable.segment_bits;
  const Ints8 segment = (fraction >> kUnused) + (half << kTable.segment_bits);
  return interpolate(table.rows, segment, (fraction << (17 - kUnused)) & 0x1FFFF);
}

// Toward zero, to an fp32's 24 significant bits.
OCTAVO_INLINE Doubles4 truncate(Doubles4 y) {
  return bits_of<Doubles4>(bits_of<Longs4>(y) & ~((1L << (52 - kMantissaBits)) - 1));
}

OCTAVO_INLINE Doubles4 scale(Doubles4 y, Ints4 exponent) {
  return bits_of<Doubles4>(bits_of<Longs4>(y) + (__builtin_convertvector(exponent, Longs4) << 52));
}

OCTAVO_INLINE Floats8 to_floats(Doubles8 y) {
  const auto low = __builtin_convertvector(y.low, Floats4);
  const auto high = __builtin_convertvector(y.high, Floats4);
  return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7);
}

// y 2^exponent as the bits of an fp32: infinite above all of them, zero where it is subnormal.
OCTAVO_INLINE Ints8 result(Doubles8 y, Ints8 exponent) {
  const Doubles4 low = scale(truncate(y.low), low_half(exponent));
  const Doubles4 high = scale(truncate(y.high), high_half(exponent));
  const Ints8 bits = bits_of<Ints8>(to_floats({low, high}));
  return choose(bits < kLowestNormal, splat(0), bits);
}

OCTAVO_INLINE Ints8 unit_ex2(Ints8 bits) {
  const Ints8 magnitude = bits & ~kSign, negative = bits >> 31;
  // |x| with 23 fraction bits; from 255 on the result is 0 or infinite all the same.
  const Floats8 bounded = min(bits_of<Floats8>(magnitude), Floats8{} + 255.0f);
  const Ints8 fixed = __builtin_convertvector(bounded * 0x1p23f, Ints8);
  // Negated as its one's complement, but where that would make an integer's 2^x inexact.
  const Ints8 integer = (fixed & kMantissa) == 0;
  const Ints8 x = (fixed ^ negative) - (integer & negative);
  const Ints8 y = result(interpolate(kEx2Rows, x & kMantissa), x >> kMantissaBits);
  return choose(magnitude > kInfinity, splat(kNan), y);
}

OCTAVO_INLINE Ints8 unit_lg2(Ints8 bits) {
  const Ints8 exponent = (bits >> kMantissaBits) - kBias;
  const Doubles8 y = interpolate(kLg2Rows, bits & kMantissa);
  // A negative sum is negated as its one's complement.
  const auto finish = [](Doubles4 sum) {
    const Doubles4 negated = -sum - std::ldexp(1.0, -kLg2.scale);
    return sum < 0.0 ? -truncate(negated) : truncate(sum);
  };
  Ints8 result = bits_of<Ints8>(to_floats({finish(y.low + to_doubles(low_half(exponent))),
                                           finish(y.high + to_doubles(high_half(exponent)))}));
  result = choose(bits == kOne, splat(0), result);
  result = choose(bits == kInfinity, splat(kInfinity), result);
  result = choose((bits < 0) | (bits > kInfinity), splat(kNan), result);
  return choose((bits & ~kSign) < kLowestNormal, splat(kInfinity | kSign), result);
}

OCTAVO_INLINE Ints8 unit_rcp(Ints8 bits) {
  const Ints8 magnitude = bits & ~kSign;
  const Ints8 exponent = kBias - (magnitude >> kMantissaBits);
  Ints8 y = result(interpolate(kRcpRows, bits & kMantissa), exponent);
  y = choose(magnitude < kLowestNormal, splat(kInfinity), y) | (bits & kSign);
  return choose(magnitude > kInfinity, splat(kNan), y);
}

OCTAVO_INLINE Ints8 unit_rsqrt(Ints8 bits) {
  const Ints8 magnitude = bits & ~kSign, mantissa = bits & kMantissa;
  const Ints8 exponent = (magnitude >> kMantissaBits) - kBias, odd = exponent & 1;
  Doubles8 y = interpolate(kRsqrtRows, mantissa, odd);
  Ints8 root = result(y, -(exponent >> 1));
  // Powers of four have exact results; the table's is just under 1.
  root = choose((mantissa | odd) == 0, (kBias - (exponent >> 1)) << kMantissaBits, root);
  root = choose(bits == kInfinity, splat(0), root);
  root = choose((bits < 0) | (bits > kInfinity), splat(kNan), root);
  return choose(magnitude < kLowestNormal, kInfinity | (bits & kSign), root);
}

OCTAVO_INLINE Ints8 unit_sqrt(Ints8 bits) {
  const Ints8 magnitude = bits & ~kSign;
  const Ints8 exponent = (magnitude >> kMantissaBits) - kBias;
  Ints8 root = result(interpolate(kSqrtRows, bits & kMantissa, exponent & 1), exponent >> 1);
  root = choose(bits == kInfinity, splat(kInfinity), root);
  root = choose((bits < 0) | (bits > kInfinity), splat(kNan), root);
  return choose(magnitude < kLowestNormal, bits & kSign, root);
}

// |x| / (2 pi) in units of 2^-25, without whole turns. ptxas multiplies by the fp32 toward zero.
OCTAVO_INLINE Ints4 turns(Floats4 x) {
  constexpr double kUnit = 0x1p25, kInteger = 0x1p52;  // from kInteger on all doubles are integers
  Doubles4 y = __builtin_convertvector(x, Doubles4);
  y = truncate(y * (static_cast<double>(0x1.45f306p-3f))) * kUnit;
  // Above it they are multiples of a turn, too.
  // NOLINTNEXTLINE(misc-redundant-expression): NaN where it is not finite
  y = y < kInteger ? y : y - y;
  Doubles4 whole = (y + kInteger) - kInteger;
  whole = whole > y ? whole - 1.0 : whole;
  return __builtin_convertvector(bits_of<Longs4>(whole + kInteger) & ((1L << 25) - 1), Ints4);
}

// The sine of x and a quarter of a turn for each 1 in `quarters`; its sign is x's if `odd`.
OCTAVO_INLINE Ints8 unit_sine(Ints8 bits, int quarters, bool odd) {
  const Ints8 magnitude = bits & ~kSign;
  const auto x = bits_of<Floats8>(magnitude);
  const Floats4 low = __builtin_shufflevector(x, x, 0, 1, 2, 3);
  const Floats4 high = __builtin_shufflevector(x, x, 4, 5, 6, 7);
  const Ints8 angle = join(turns(low), turns(high));
  const Ints8 quadrant = (angle >> kMantissaBits) + quarters;
  // The second and fourth quadrants mirror the others, as one's complements.
  const Ints8 fraction = (angle ^ -(quadrant & 1)) & kMantissa;
  Ints8 sign = (quadrant & 2) << 30;
  if (odd) sign ^= bits & kSign;
  const Ints8 y = result(interpolate(kSinRows, fraction), splat(0)) | sign;
  return choose(magnitude >= kInfinity, splat(kNan), y);
}
OCTAVO_INLINE Ints8 unit_sin(Ints8 bits) { return unit_sine(bits, 0, true); }
OCTAVO_INLINE Ints8 unit_cos(Ints8 bits) { return unit_sine(bits, 1, false); }

// Its segments are finer where tanh bends: binades from 2^-8 to 2^2 have 2^kBits of them each.
// Under those tanh(x) is x, above 1. Subnormal numbers are kept.
OCTAVO_INLINE Ints8 unit_tanh(Ints8 bits) {
  constexpr int kLowest = -8, kBits[] = {0, 0, 0, 1, 1, 2, 2, 2, 3, 4, 3};
  constexpr int kFirst[] = {0, 1, 2, 3, 5, 7, 11, 15, 19, 27, 43};
  const Ints8 magnitude = bits & ~kSign, mantissa = bits & kMantissa;
  const Ints8 binade = (magnitude >> kMantissaBits) - (kBias + kLowest);
  Ints8 segment = binade, x = binade;
  for (int lane = 0; lane < 8; ++lane) {
    const int i = std::clamp(binade[lane], 0, 10), unused = kMantissaBits - kBits[i];
    segment[lane] = kFirst[i] + (mantissa[lane] >> unused);
    x[lane] = (mantissa[lane] & ((1 << unused) - 1)) >> (unused - 17);
  }
  Ints8 y = result(interpolate(kTanhRows.rows, segment, x), splat(0));
  y = choose(binade > 10, splat(kOne), y) | (bits & kSign);
  y = choose(binade < 0, bits, y);
  return choose(magnitude > kInfinity, splat(kNan), y);
}

}  // namespace octavo::emulator::tensor_core
