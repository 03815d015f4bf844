#include "tensor_core/special.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "tensor_core/vector.hpp"

namespace octavo::emulator::tensor_core {
namespace {

constexpr int kLanes = 32;
constexpr std::uint32_t kSign = 0x80000000, kNan = 0x7FFFFFFF;
constexpr std::uint32_t kLowestNormal = 0x00800000;

// The ISA bounds the error of these functions and does not define their bits. All but ex2 are the
// correctly rounded value, from double, with the special cases that the ISA lists: those are also
// the C library's, down to the sign of a zero.
float canonical(double y) {
  const auto rounded = static_cast<float>(y);
  return rounded == rounded ? rounded : std::bit_cast<float>(kNan);
}

float lg2(float x) { return canonical(std::log2(static_cast<double>(x))); }
float rcp(float x) { return canonical(1.0 / static_cast<double>(x)); }
float sqrt(float x) { return canonical(std::sqrt(static_cast<double>(x))); }
float sin(float x) { return canonical(std::sin(static_cast<double>(x))); }
float cos(float x) { return canonical(std::cos(static_cast<double>(x))); }
float tanh(float x) { return canonical(std::tanh(static_cast<double>(x))); }
float rsqrt(float x) { return canonical(1.0 / std::sqrt(static_cast<double>(x))); }

// .ftz: subnormal inputs and results become zeros of their sign.
float flush(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return std::bit_cast<float>((bits & ~kSign) < kLowestNormal ? bits & kSign : bits);
}

template <float (*kFunction)(float)>
void each(float* result, const float* x) {
  for (int lane = 0; lane < kLanes; ++lane) result[lane] = kFunction(x[lane]);
}

template <float (*kFunction)(float)>
void each_flushed(float* result, const float* x) {
  for (int lane = 0; lane < kLanes; ++lane) result[lane] = flush(kFunction(flush(x[lane])));
}

// 2^x = 2^n * 2^f with n the nearest integer to x and |f| <= 1/2. The Taylor polynomial of degree
// 10 is within 2^-42 of 2^f, so all but one result in some 2^17 are the correctly rounded ones.
template <bool kFlush>
OCTAVO_INLINE void ex2_lanes(float* result, const float* x) {
  constexpr double kCoefficients[] = {
      // ln(2)^i / i!
      1.0,
      0x1.62e42fefa39efp-1,
      0x1.ebfbdff82c58fp-3,
      0x1.c6b08d704a0c0p-5,
      0x1.3b2ab6fba4e77p-7,
      0x1.5d87fe78a6731p-10,
      0x1.430912f86c787p-13,
      0x1.ffcbfc588b0c7p-17,
      0x1.62c0223a5c824p-20,
      0x1.b5253d395e7c4p-24,
      0x1.e4cf5158b8ecap-28,
  };
  // Adding it leaves the nearest integer in the low bits.
  constexpr double kRound = 0x1.8p52;
  const Doubles4 zero{}, bound = zero + 200.0, lowest_normal = zero + 0x1p-126;
  const Doubles4 nan = zero + std::bit_cast<double>(0x7FFFFFFFE0000000);  // kNan as a double
  for (int lane = 0; lane < kLanes; lane += 4) {
    const Doubles4 exact = __builtin_convertvector(load<Floats4>(x + lane), Doubles4);
    // Beyond the bounds the result is 0 or infinite all the same.
    const Doubles4 bounded = min(max(exact, -bound), bound);
    const Doubles4 rounded = bounded + kRound;
    const Doubles4 f = bounded - (rounded - kRound);
    Doubles4 y = f * kCoefficients[10] + kCoefficients[9];
#pragma GCC unroll 9
    for (int i = 8; i >= 0; --i) y = y * f + kCoefficients[i];
    const Longs4 n = bits_of<Longs4>(rounded) << 52;
    y = bits_of<Doubles4>(bits_of<Longs4>(y) + n);
    if (kFlush) y = y < lowest_normal ? zero : y;
    y = exact == exact ? y : nan;
    store(result + lane, __builtin_convertvector(y, Floats4));
  }
}

// A subnormal x needs no flushing: 2^x is 1 with and without.
template <bool kFlush>
void ex2(float* result, const float* x) {
  vectorised<ex2_lanes<kFlush>>(result, x);
}

constexpr Special kTable[] = {
    {"ex2.approx.f32", ex2<false>},    {"ex2.approx.ftz.f32", ex2<true>},
    {"lg2.approx.f32", each<lg2>},     {"lg2.approx.ftz.f32", each_flushed<lg2>},
    {"rcp.approx.f32", each<rcp>},     {"rcp.approx.ftz.f32", each_flushed<rcp>},
    {"rsqrt.approx.f32", each<rsqrt>}, {"rsqrt.approx.ftz.f32", each_flushed<rsqrt>},
    {"sqrt.approx.f32", each<sqrt>},   {"sqrt.approx.ftz.f32", each_flushed<sqrt>},
    {"sin.approx.f32", each<sin>},     {"sin.approx.ftz.f32", each_flushed<sin>},
    {"cos.approx.f32", each<cos>},     {"cos.approx.ftz.f32", each_flushed<cos>},
    {"tanh.approx.f32", each<tanh>},
};

}  // namespace

std::span<const Special> special_table() { return kTable; }

const Special* find_special(std::string_view opcode) {
  const auto row = std::ranges::find(kTable, opcode, &Special::opcode);
  return row == std::end(kTable) ? nullptr : &*row;
}

}  // namespace octavo::emulator::tensor_core
