// cvt between formats that the host does not have, and from floating point to 64-bit integers.
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "execute/helpers.hpp"
#include "execute/numbers.hpp"

namespace octavo::emulator {
namespace {

using U16 = std::uint16_t;
using U32 = std::uint32_t;
using U64 = std::uint64_t;

// f32 to an 8-bit format with M mantissa bits, lowest normal exponent E and largest finite code;
// round to nearest even, saturating.
template <int M, int E, U32 Largest>
U32 to_fp8(U32 f32) {
  const U32 sign = f32 >> 24 & 0x80, magnitude = f32 & 0x7FFFFFFF;
  if (magnitude > 0x7F800000) return 0x7F;
  U32 code;
  if (magnitude < static_cast<U32>(E + 127) << 23) {
    // A subnormal: adding 2^23 quanta leaves their rounded number in the low bits.
    constexpr U32 kQuanta = static_cast<U32>(E - M + 23 + 127) << 23;
    code = bits_of(float_of(magnitude) + float_of(kQuanta)) - kQuanta;
  } else {
    constexpr int kShift = 23 - M;
    const U32 rounded = magnitude + ((1u << (kShift - 1)) - 1) + (magnitude >> kShift & 1);
    code = (rounded >> kShift) - (static_cast<U32>(E + 127 - 1) << M);
  }
  return sign | (code > Largest ? Largest : code);
}

U32 to_e4m3(U32 f32) { return to_fp8<3, -6, 0x7E>(f32); }
U32 to_e5m2(U32 f32) { return to_fp8<2, -14, 0x7B>(f32); }

U32 relu_f32(U32 f32) {
  return (f32 & 0x80000000) != 0 && (f32 & 0x7FFFFFFF) <= 0x7F800000 ? 0 : f32;
}

U32 f16_to_f32(U16 f16) { return bits_of(static_cast<float>(decode(f16, kF16))); }

// f16 bits of every value of an 8-bit format.
std::array<U16, 256> f16_table(const Format& format) {
  std::array<U16, 256> table{};
  for (U32 code = 0; code < 256; ++code) {
    const double value = decode(code, format);
    table[code] = static_cast<U16>(encode(value, kF16, Rounding::nearest, false));
  }
  return table;
}

template <U32 (*convert)(U32)>
void from_f32(U16* d, const U32* high, const U32* low, U32 relu) {
  for (int i = 0; i < kLanes; ++i) {
    const U32 h = relu != 0 ? relu_f32(high[i]) : high[i],
              l = relu != 0 ? relu_f32(low[i]) : low[i];
    d[i] = static_cast<U16>(convert(h) << 8 | convert(l));
  }
}

template <U32 (*convert)(U32)>
void from_f16(U16* d, const U32* a, U32 relu) {
  U32 high[kLanes], low[kLanes];
  for (int i = 0; i < kLanes; ++i) {
    high[i] = f16_to_f32(static_cast<U16>(a[i] >> 16));
    low[i] = f16_to_f32(static_cast<U16>(a[i]));
  }
  from_f32<convert>(d, high, low, relu);
}

void to_f16(U32* d, const U16* a, U32 relu, const std::array<U16, 256>& table) {
  const auto lookup = [&](U32 code) -> U32 {
    const U16 f16 = table[code];
    return relu != 0 && (f16 & 0x8000) != 0 && (f16 & 0x7FFF) <= 0x7C00 ? 0 : f16;
  };
  for (int i = 0; i < kLanes; ++i) d[i] = lookup(a[i] & 0xFF) | lookup(a[i] >> 8) << 16;
}

// NaN gives the integer whose highest bit alone is set.
template <typename T>
void to_integer(T* d, const double* a, U32 rounding) {
  for (int i = 0; i < kLanes; ++i) {
    const double value = round_integer(a[i], static_cast<Rounding>(rounding));
    constexpr double kEnd = std::is_signed_v<T> ? 0x1p63 : 0x1p64;
    constexpr double kBegin = std::is_signed_v<T> ? -0x1p63 : 0;
    d[i] = std::isnan(value) ? static_cast<T>(U64{1} << 63)
           : value >= kEnd   ? std::numeric_limits<T>::max()
           : value <= kBegin ? std::numeric_limits<T>::min()
                             : static_cast<T>(value);
  }
}

}  // namespace

static void octavo_e4m3x2_f32(U16* d, const U32* a, const U32* b, U32 relu) {
  from_f32<to_e4m3>(d, a, b, relu);
}
static void octavo_e5m2x2_f32(U16* d, const U32* a, const U32* b, U32 relu) {
  from_f32<to_e5m2>(d, a, b, relu);
}
static void octavo_e4m3x2_f16x2(U16* d, const U32* a, U32 relu) { from_f16<to_e4m3>(d, a, relu); }
static void octavo_e5m2x2_f16x2(U16* d, const U32* a, U32 relu) { from_f16<to_e5m2>(d, a, relu); }

static void octavo_f16x2_e4m3x2(U32* d, const U16* a, U32 relu) {
  static const auto table = f16_table(kE4m3);
  to_f16(d, a, relu, table);
}

static void octavo_f16x2_e5m2x2(U32* d, const U16* a, U32 relu) {
  static const auto table = f16_table(kE5m2);
  to_f16(d, a, relu, table);
}

static void octavo_s64_f64(std::int64_t* d, const double* a, U32 rounding) {
  to_integer(d, a, rounding);
}
static void octavo_u64_f64(U64* d, const double* a, U32 rounding) { to_integer(d, a, rounding); }

// Rounded to odd: rounding once more, to fewer bits, is rounding the integer itself.
static double odd_f64(U64 magnitude) {
  const int excess = magnitude == 0 ? 0 : 64 - __builtin_clzll(magnitude) - 53;
  if (excess <= 0) return static_cast<double>(magnitude);
  const U64 lost = magnitude & ((U64{1} << excess) - 1);
  return std::ldexp(static_cast<double>(magnitude >> excess | (lost != 0 ? 1 : 0)), excess);
}

static void octavo_odd_u64(double* d, const U64* a, U32) {
  for (int i = 0; i < kLanes; ++i) d[i] = odd_f64(a[i]);
}
static void octavo_odd_s64(double* d, const std::int64_t* a, U32) {
  for (int i = 0; i < kLanes; ++i) {
    const auto bits = static_cast<U64>(a[i]);
    d[i] = a[i] < 0 ? -odd_f64(0 - bits) : odd_f64(bits);
  }
}

static void octavo_f16_f64(U16* d, const double* a, U32 rounding) {
  for (int i = 0; i < kLanes; ++i) {
    d[i] = static_cast<U16>(encode(a[i], kF16, static_cast<Rounding>(rounding), false));
  }
}

static void octavo_bf16_f64(U16* d, const double* a, U32 rounding) {
  for (int i = 0; i < kLanes; ++i) {
    d[i] = static_cast<U16>(encode(a[i], kBf16, static_cast<Rounding>(rounding), false));
  }
}

// bf16's products leave f32's range, so its fma goes by way of f64. `count` is 32, or 64 for
// bf16x2.
static void octavo_fma_bf16(U16* d, const U16* a, const U16* b, const U16* c, U32 count) {
  const auto wide = [](U16 x) { return static_cast<double>(float_of(U32{x} << 16)); };
  for (U32 i = 0; i < count; ++i) {
    const double sum = add_to_odd(wide(a[i]) * wide(b[i]), wide(c[i]));
    d[i] = static_cast<U16>(encode(sum, kBf16, Rounding::nearest, false));
  }
}

std::span<const Helper> conversion_helpers() {
  static const Helper list[] = {
      OCTAVO_HELPER(octavo_e4m3x2_f32),   OCTAVO_HELPER(octavo_e5m2x2_f32),
      OCTAVO_HELPER(octavo_e4m3x2_f16x2), OCTAVO_HELPER(octavo_e5m2x2_f16x2),
      OCTAVO_HELPER(octavo_f16x2_e4m3x2), OCTAVO_HELPER(octavo_f16x2_e5m2x2),
      OCTAVO_HELPER(octavo_s64_f64),      OCTAVO_HELPER(octavo_u64_f64),
      OCTAVO_HELPER(octavo_f16_f64),      OCTAVO_HELPER(octavo_bf16_f64),
      OCTAVO_HELPER(octavo_fma_bf16),     OCTAVO_HELPER(octavo_odd_u64),
      OCTAVO_HELPER(octavo_odd_s64)};
  return list;
}

}  // namespace octavo::emulator
