#include "tensor_core/special.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>

#include "tensor_core/special_tables.hpp"
#include "tensor_core/vector.hpp"

namespace octavo::emulator::tensor_core {
namespace {

constexpr int kLanes = 32;
constexpr int kSign = std::numeric_limits<int>::min(), kNan = 0x7FFFFFFF, kInfinity = 0x7F800000;
constexpr int kLowestNormal = 0x00800000, kMantissa = 0x007FFFFF, kOne = 0x3F800000;
constexpr int kMantissaBits = 23, kBias = 127;

// --- the unit's interpolation, eight lanes at a time

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

const Rows<kEx2, 64> kEx2Rows(kEx2Segments);
const Rows<kLg2, 64> kLg2Rows(kLg2Segments);
const Rows<kRcp, 128> kRcpRows(kRcpSegments);
const Rows<kRsqrt, 128> kRsqrtRows(kRsqrtSegments);
const Rows<kSqrt, 128> kSqrtRows(kSqrtSegments);

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

// The exact sum for a mantissa of 23 bits. `half` chooses the table's first or second 64 segments.
template <Interpolation kTable, std::size_t kCount>
OCTAVO_INLINE Doubles8 interpolate(const Rows<kTable, kCount>& table, Ints8 mantissa,
                                   Ints8 half = splat(0)) {
  constexpr int kXBits = kMantissaBits - kTable.segment_bits;
  const Ints8 segment = (mantissa >> kXBits) + (half << kTable.segment_bits);
  const Ints8 x = (mantissa << (17 - kXBits)) & 0x1FFFF;
  const Ints8 square = truncated_square(x);
  return {interpolate(table.rows, low_half(segment), low_half(x), low_half(square)),
          interpolate(table.rows, high_half(segment), high_half(x), high_half(square))};
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

// --- what the unit computes: the .ftz functions, on the bits of eight fp32

OCTAVO_INLINE Ints8 unit_ex2(Ints8 bits) {
  const Ints8 magnitude = bits & ~kSign, negative = bits >> 31;
  // |x| with 23 fraction bits; from 255 on the result is 0 or infinite all the same.
  const Floats8 bounded = min(bits_of<Floats8>(magnitude), Floats8{} + 255.0f);
  const Ints8 fixed = __builtin_convertvector(bounded * 0x1p23f, Ints8);
  // Negated as its one's complement, but where that would make an integer's 2^x inexact. (No x
  // between -2^-12 and 0 is recorded: for those above -2^-23 the complement gives 1 - 2^-24.)
  const Ints8 integer = ((fixed & kMantissa) == 0) & ((fixed != 0) | (magnitude < kLowestNormal));
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

// --- without .ftz: what ptxas makes of them for sm_90, fp32 scaling around the unit's function

template <Ints8 (*kUnit)(Ints8)>
OCTAVO_INLINE Floats8 unit(Floats8 x) {
  return bits_of<Floats8>(kUnit(bits_of<Ints8>(x)));
}

OCTAVO_INLINE Ints8 is_subnormal(Floats8 x) { return (bits_of<Ints8>(x) & ~kSign) < kLowestNormal; }

OCTAVO_INLINE Floats8 ex2(Floats8 x) {
  const Ints8 small = x < -126.0f;
  const Floats8 y = unit<unit_ex2>(small ? x * 0.5f : x);
  return small ? y * y : y;
}

OCTAVO_INLINE Floats8 lg2(Floats8 x) {
  const Ints8 small = is_subnormal(x);
  const Floats8 y = unit<unit_lg2>(small ? x * 0x1p24f : x);
  return small ? y - 24.0f : y;
}

OCTAVO_INLINE Floats8 rcp(Floats8 x) {
  const Floats8 magnitude = bits_of<Floats8>(bits_of<Ints8>(x) & ~kSign);
  const Floats8 one = Floats8{} + 1.0f;
  const Floats8 scale =
      magnitude > 0x1p126f ? one * 0.25f : (is_subnormal(x) ? one * 0x1p24f : one);
  return unit<unit_rcp>(x * scale) * scale;
}

OCTAVO_INLINE Floats8 rsqrt(Floats8 x) {
  const Ints8 small = is_subnormal(x);
  const Floats8 y = unit<unit_rsqrt>(small ? x * 0x1p24f : x);
  return small ? y * 0x1p12f : y;
}

OCTAVO_INLINE Floats8 sqrt(Floats8 x) {
  const Ints8 small = is_subnormal(x);
  const Floats8 y = unit<unit_sqrt>(small ? x * 0x1p24f : x);
  return small ? y * 0x1p-12f : y;
}

template <Floats8 (*kFunction)(Floats8)>
OCTAVO_INLINE void all_lanes(float* y, const float* x) {
  for (int lane = 0; lane < kLanes; lane += 8) store(y + lane, kFunction(load<Floats8>(x + lane)));
}

template <Floats8 (*kFunction)(Floats8)>
void each_eight(float* y, const float* x) {
  vectorised<all_lanes<kFunction>>(y, x);
}

// --- sin, cos and tanh: their tables are not known. Correctly rounded, which is within the ISA's
// error.

float canonical(double y) {
  const auto rounded = static_cast<float>(y);
  return rounded == rounded ? rounded : std::bit_cast<float>(kNan);
}

// The unit takes its argument in turns: ptxas multiplies by this fp32, 1 / (2 pi), toward zero.
double radians(float x) {
  const double turns = static_cast<double>(x) * static_cast<double>(0x1.45f306p-3f);
  auto truncated = static_cast<float>(turns);
  if (std::abs(static_cast<double>(truncated)) > std::abs(turns))
    truncated = std::nextafter(truncated, 0.0f);
  const auto exact = static_cast<double>(truncated);
  const double whole = std::rint(exact);
  return 2 * std::numbers::pi * (whole == 0 ? exact : exact - whole);  // keeps a zero's sign
}

float sin(float x) { return canonical(std::sin(radians(x))); }
float cos(float x) { return canonical(std::cos(radians(x))); }
float tanh(float x) { return canonical(std::tanh(static_cast<double>(x))); }

// .ftz: subnormal inputs and results become zeros of their sign.
float flush(float x) {
  const auto bits = std::bit_cast<int>(x);
  return std::bit_cast<float>((bits & ~kSign) < kLowestNormal ? bits & kSign : bits);
}

template <float (*kFunction)(float)>
void each(float* y, const float* x) {
  for (int lane = 0; lane < kLanes; ++lane) y[lane] = kFunction(x[lane]);
}

template <float (*kFunction)(float)>
void each_flushed(float* y, const float* x) {
  for (int lane = 0; lane < kLanes; ++lane) y[lane] = flush(kFunction(flush(x[lane])));
}

constexpr Special kTable[] = {
    {"ex2.approx.f32", each_eight<ex2>},     {"ex2.approx.ftz.f32", each_eight<unit<unit_ex2>>},
    {"lg2.approx.f32", each_eight<lg2>},     {"lg2.approx.ftz.f32", each_eight<unit<unit_lg2>>},
    {"rcp.approx.f32", each_eight<rcp>},     {"rcp.approx.ftz.f32", each_eight<unit<unit_rcp>>},
    {"rsqrt.approx.f32", each_eight<rsqrt>}, {"rsqrt.approx.ftz.f32", each_eight<unit<unit_rsqrt>>},
    {"sqrt.approx.f32", each_eight<sqrt>},   {"sqrt.approx.ftz.f32", each_eight<unit<unit_sqrt>>},
    {"sin.approx.f32", each<sin>},           {"sin.approx.ftz.f32", each_flushed<sin>},
    {"cos.approx.f32", each<cos>},           {"cos.approx.ftz.f32", each_flushed<cos>},
    {"tanh.approx.f32", each<tanh>},
};

}  // namespace

std::span<const Special> special_table() { return kTable; }

const Special* find_special(std::string_view opcode) {
  const auto row = std::ranges::find(kTable, opcode, &Special::opcode);
  return row == std::end(kTable) ? nullptr : &*row;
}

}  // namespace octavo::emulator::tensor_core
