#include "tensor_core/fused_dot.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <initializer_list>

namespace octavo::emulator::tensor_core {
namespace {

using enum Element;
using enum Instruction;
using enum Rounding;

// Elements as a set, one bit each.
constexpr unsigned set_of(std::initializer_list<Element> elements) {
  unsigned set = 0;
  for (const Element element : elements) set |= 1u << static_cast<unsigned>(element);
  return set;
}
constexpr unsigned kHalf = set_of({f16, bf16});
constexpr unsigned kTf32 = set_of({tf32});
constexpr unsigned kFp8 = set_of({e4m3, e5m2});

struct Row {
  Instruction instruction;
  int first, last;  // compute capabilities
  unsigned elements;
  DotModel model;
};

constexpr bool kUnpacked = true;
// clang-format off
constexpr Row kRows[] = {
    // instruction, from, to  elements         length, fraction, f32 rounding, lowest scale
    {mma_sync,  75,  75, set_of({f16}), { 8, 24, rz_fp32,   -132}},
    {mma_sync,  80,  89, kHalf,         { 8, 24, rz_fp32,   -132}},
    {mma_sync,  80,  89, kTf32,         { 4, 24, rz_fp32,   -132}},
    {mma_sync,  89,  89, kFp8,          {16, 13, rz_e8m13,  -132}},
    {mma_sync,  90, 120, kHalf,         {16, 25, rz_fp32,   -133}},
    {mma_sync,  90, 120, kTf32,         { 8, 25, rz_fp32,   -133}},
    {mma_sync,  90, 100, kFp8,          {16, 25, rz_fp32,   -133, kUnpacked}},
    {mma_sync, 120, 120, kFp8,          {32, 25, rz_fp32,   -133}},
    {wgmma,     90,  90, kHalf,         {16, 25, rz_fp32,   -133}},
    {wgmma,     90,  90, kTf32,         { 8, 25, rz_fp32,   -133}},
    {wgmma,     90,  90, kFp8,          {32, 13, rz_e8m13,  -133}},
    {tcgen05,  100, 100, kFp8,          {32, 25, rz_fp32,   -133}},
};
// clang-format on

std::uint32_t not_a_number(Accumulator accumulator) {
  return accumulator == Accumulator::f16 ? 0x7FFF : 0x7FFFFFFF;
}

std::uint32_t infinity(Accumulator accumulator, bool negative) {
  if (accumulator == Accumulator::f16) return negative ? 0xFC00 : 0x7C00;
  return negative ? 0xFF800000 : 0x7F800000;
}

// A term of the sum: a product, or c. The significand has twice kFractionBits.
struct Term {
  Number::Kind kind;
  bool negative;
  int exponent;
  std::uint64_t significand;
};

Term multiply(const Number& a, const Number& b) {
  using Kind = Number::Kind;
  Term term{Kind::finite, a.negative != b.negative, a.exponent + b.exponent,
            std::uint64_t{a.significand} * b.significand};
  const auto either = [&](Kind kind) { return a.kind == kind || b.kind == kind; };
  if (either(Kind::nan) || (either(Kind::infinite) && either(Kind::zero))) {
    term.kind = Kind::nan;
  } else if (either(Kind::infinite)) {
    term.kind = Kind::infinite;
  } else if (either(Kind::zero)) {
    term.kind = Kind::zero;
  }
  return term;
}

Term as_term(const Number& number) {
  return {number.kind, number.negative, number.exponent,
          std::uint64_t{number.significand} << kFractionBits};
}

std::uint32_t sum_of(std::span<const Term> terms, const DotModel& model, Accumulator accumulator) {
  bool nan = false, positive_infinity = false, negative_infinity = false;
  int scale = model.lowest_exponent;
  for (const Term& term : terms) {
    nan |= term.kind == Number::Kind::nan;
    if (term.kind == Number::Kind::infinite)
      (term.negative ? negative_infinity : positive_infinity) = true;
    if (term.kind == Number::Kind::finite) scale = std::max(scale, term.exponent);
  }
  if (nan || (positive_infinity && negative_infinity)) return not_a_number(accumulator);
  if (positive_infinity || negative_infinity) return infinity(accumulator, negative_infinity);

  std::int64_t sum = 0;
  for (const Term& term : terms) {
    if (term.kind != Number::Kind::finite) continue;
    const int shift = 2 * kFractionBits - model.fraction_bits + scale - term.exponent;
    const auto magnitude = static_cast<std::int64_t>(term.significand >> std::min(shift, 63));
    sum += term.negative ? -magnitude : magnitude;
  }
  return encode(model.rounding(accumulator), sum, scale - model.fraction_bits);
}

std::uint32_t blocked_dot(const DotModel& model, Accumulator accumulator, DotOperand a,
                          DotOperand b, std::uint32_t c) {
  const Format c_format = accumulator == Accumulator::f16 ? kF16 : kF32;
  const Format a_format = format_of(a.element), b_format = format_of(b.element);
  const auto length = static_cast<std::size_t>(model.length);
  for (std::size_t begin = 0; begin < a.bits.size(); begin += length) {
    std::array<Term, 33> terms;
    std::size_t count = 0;
    for (std::size_t k = begin; k < std::min(begin + length, a.bits.size()); ++k)
      terms[count++] = multiply(decode(a_format, a.bits[k]), decode(b_format, b.bits[k]));
    terms[count++] = as_term(decode(c_format, c));
    c = sum_of({terms.data(), count}, model, accumulator);
  }
  return c;
}

std::uint32_t unpacked_dot(const DotModel& model, Accumulator accumulator, DotOperand a,
                           DotOperand b, std::uint32_t c) {
  std::uint32_t sum = 0;
  for (const std::size_t half : {0u, 2u}) {
    std::array<std::uint32_t, 32> a_half, b_half;
    std::size_t count = 0;
    for (std::size_t k = half; k < a.bits.size(); k += 4)
      for (const std::size_t i : {k, k + 1}) {
        a_half[count] = f16_from_fp8(a.element, static_cast<std::uint8_t>(a.bits[i]));
        b_half[count++] = f16_from_fp8(b.element, static_cast<std::uint8_t>(b.bits[i]));
      }
    sum = blocked_dot(model, accumulator, {f16, {a_half.data(), count}},
                      {f16, {b_half.data(), count}}, sum);
  }
  return rounded_sum(accumulator, c, sum);
}

}  // namespace

std::uint32_t rounded_sum(Accumulator accumulator, std::uint32_t x, std::uint32_t y) {
  if (accumulator == Accumulator::f32) {
    const float sum = std::bit_cast<float>(x) + std::bit_cast<float>(y);
    return sum == sum ? std::bit_cast<std::uint32_t>(sum) : not_a_number(accumulator);
  }
  const Number a = decode(kF16, x), b = decode(kF16, y);
  if (a.kind == Number::Kind::zero && b.kind == Number::Kind::zero) return x & y;
  const Term terms[] = {as_term(a), as_term(b)};
  // All of fp16 lies within 40 bits: nothing is truncated.
  const DotModel exact{2, 40, rz_fp32, 0};
  return sum_of(terms, exact, accumulator);
}

const DotModel* find_dot_model(Instruction instruction, int compute_capability, Element a,
                               Element b) {
  const unsigned elements = set_of({a, b});
  for (const Row& row : kRows) {
    if (row.instruction != instruction || compute_capability < row.first ||
        compute_capability > row.last || (elements & ~row.elements) != 0)
      continue;
    // Only fp8 types mix.
    if (a == b || row.elements == kFp8) return &row.model;
  }
  return nullptr;
}

std::uint32_t fused_dot(const DotModel& model, Accumulator accumulator, DotOperand a, DotOperand b,
                        std::uint32_t c) {
  return model.unpacked_fp8 ? unpacked_dot(model, accumulator, a, b, c)
                            : blocked_dot(model, accumulator, a, b, c);
}

}  // namespace octavo::emulator::tensor_core
