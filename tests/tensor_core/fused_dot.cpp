// The model of a tensor core, probed from outside as one probes a GPU, and worked examples by hand.
#include "tensor_core/fused_dot.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <initializer_list>
#include <string>
#include <vector>

namespace octavo::emulator::tensor_core {
namespace {

using enum Element;
using enum Instruction;
constexpr std::size_t kMaxK = 32;

std::uint32_t bits(float value) { return std::bit_cast<std::uint32_t>(value); }

// The encodings that the examples need, by value: exact powers of two and 1.5 times them.
std::uint32_t encoding(Element element, double value) {
  const Format format = format_of(element);
  if (value == 0) return 0;
  int exponent = 0;
  const double significand = 2 * std::frexp(std::abs(value), &exponent);
  const auto field = static_cast<std::uint32_t>(exponent - 1 + format.bias);
  const auto fraction =
      static_cast<std::uint32_t>(std::ldexp(significand - 1, format.fraction_bits));
  return (value < 0 ? 1u << (format.bits - 1) : 0) | field << format.fraction_bits | fraction;
}

// a·b + c for k = 32 with the given elements first and zeros behind.
struct Case {
  Instruction instruction;
  int device;
  Element element;
  std::vector<double> a, b;

  std::uint32_t operator()(std::uint32_t c, Accumulator accumulator = Accumulator::f32) const {
    std::vector<std::uint32_t> a_bits(kMaxK), b_bits(kMaxK);
    for (std::size_t i = 0; i < a.size(); ++i) a_bits[i] = encoding(element, a[i]);
    for (std::size_t i = 0; i < b.size(); ++i) b_bits[i] = encoding(element, b[i]);
    return fused_dot(*find_dot_model(instruction, device, element, element), accumulator,
                     {element, a_bits}, {element, b_bits}, c);
  }
};

struct Probe {
  Instruction instruction;
  int device;
  Element element;

  // 1 - 1 + c keeps c's bit as long as it is not below the last fraction bit.
  int fraction_bits() const {
    int kept = 0;
    while (Case{instruction, device, element, {1, -1}, {1, 1}}(bits(std::ldexp(1.f, -kept - 1))))
      ++kept;
    return kept;
  }

  // 1 + 1 + c - 1 - 1 keeps c's last bit if it is one sum, and loses it where two blocks meet.
  std::size_t length() const {
    const float c = std::ldexp(1.f, -fraction_bits());
    for (std::size_t k = 2; k < kMaxK; k += 2) {
      std::vector<double> a(kMaxK), ones(kMaxK, 1);
      a[0] = a[1] = 1;
      a[k] = a[k + 1] = -1;
      if (Case{instruction, device, element, a, ones}(bits(c)) == 0) return k;
    }
    return kMaxK;
  }

  // Of the result: how much of 1 + 2^-i is left.
  int result_bits() const {
    int kept = 0;
    while (kept < 23 && Case{instruction, device, element, {1}, {1}}(
                            bits(std::ldexp(1.f, -kept - 1))) != bits(1))
      ++kept;
    return kept;
  }
};

TEST_CASE("length, fraction bits and rounding of each tensor core") {
  struct Expected {
    Probe probe;
    std::size_t length;
    int fraction_bits, result_bits;
  };
  const Expected table[] = {
      {{mma_sync, 75, f16}, 8, 24, 23},    {{mma_sync, 80, f16}, 8, 24, 23},
      {{mma_sync, 80, bf16}, 8, 24, 23},   {{mma_sync, 80, tf32}, 4, 24, 23},
      {{mma_sync, 89, f16}, 8, 24, 23},    {{mma_sync, 89, bf16}, 8, 24, 23},
      {{mma_sync, 89, tf32}, 4, 24, 23},   {{mma_sync, 89, e4m3}, 16, 13, 13},
      {{mma_sync, 89, e5m2}, 16, 13, 13},  {{mma_sync, 90, f16}, 16, 25, 23},
      {{mma_sync, 90, bf16}, 16, 25, 23},  {{mma_sync, 90, tf32}, 8, 25, 23},
      {{mma_sync, 100, f16}, 16, 25, 23},  {{mma_sync, 100, tf32}, 8, 25, 23},
      {{mma_sync, 120, bf16}, 16, 25, 23}, {{mma_sync, 120, tf32}, 8, 25, 23},
      {{mma_sync, 120, e4m3}, 32, 25, 23}, {{mma_sync, 120, e5m2}, 32, 25, 23},
      {{wgmma, 90, f16}, 16, 25, 23},      {{wgmma, 90, bf16}, 16, 25, 23},
      {{wgmma, 90, tf32}, 8, 25, 23},      {{wgmma, 90, e4m3}, 32, 13, 13},
      {{wgmma, 90, e5m2}, 32, 13, 13},     {{tcgen05, 100, e4m3}, 32, 25, 23},
      {{tcgen05, 100, e5m2}, 32, 25, 23},
  };
  for (const auto& [probe, length, fraction_bits, result_bits] : table) {
    CAPTURE(static_cast<int>(probe.instruction));
    CAPTURE(probe.device);
    CAPTURE(static_cast<int>(probe.element));
    CHECK(probe.length() == length);
    CHECK(probe.fraction_bits() == fraction_bits);
    CHECK(probe.result_bits() == result_bits);
  }
}

TEST_CASE("what does not exist has no model") {
  CHECK(find_dot_model(mma_sync, 75, bf16, bf16) == nullptr);
  CHECK(find_dot_model(mma_sync, 80, e4m3, e4m3) == nullptr);
  CHECK(find_dot_model(mma_sync, 90, f16, bf16) == nullptr);
  CHECK(find_dot_model(mma_sync, 90, f16, e4m3) == nullptr);
  CHECK(find_dot_model(wgmma, 100, e4m3, e4m3) == nullptr);
  CHECK(find_dot_model(mma_sync, 90, e4m3, e5m2) != nullptr);
}

TEST_CASE("terms are truncated by magnitude") {
  const Case negative{mma_sync, 80, f16, {1, -1, -1.5 / 4096}, {1, 1, 1.0 / 4096}};
  CHECK(negative(0) == bits(-0x1p-24f));
}

TEST_CASE("a product of 2 and more does not raise the scale") {
  const Case large{mma_sync, 90, f16, {1.5, -1.5}, {1.5, 1.5}};
  CHECK(large(bits(0x1p-25f)) == bits(0x1p-25f));
}

TEST_CASE("the result is rounded toward zero, also when negative") {
  const Case one{mma_sync, 90, f16, {1, 1.5 / 4096}, {1, 1.0 / 4096}};
  CHECK(one(0) == bits(1));
  const Case minus_one{mma_sync, 90, f16, {-1, -1.5 / 4096}, {1, 1.0 / 4096}};
  CHECK(minus_one(0) == bits(-1));
}

TEST_CASE("fp8 wgmma clears the low ten bits of c") {
  const Case zero{wgmma, 90, e4m3, {}, {}};
  CHECK(zero(0x3F8003FF) == 0x3F800000);
  CHECK(zero(0xC12FFFFF) == 0xC12FFC00);
  CHECK(zero(0x000103FF) == 0x00010000);
}

TEST_CASE("fp8 mma.sync of Hopper adds c at the end, to nearest") {
  const Case three{mma_sync, 90, e4m3, {1, 1, 1}, {1, 1, 1}};
  CHECK(three(bits(0x1p24f)) == bits(0x1p24f + 4));
  const Case native{mma_sync, 120, e4m3, {1, 1, 1}, {1, 1, 1}};
  CHECK(native(bits(0x1p24f)) == bits(0x1p24f + 2));
}

TEST_CASE("fp16 accumulators round to nearest even") {
  const Case tie{mma_sync, 90, f16, {1.0 / 32}, {1.0 / 64}};
  CHECK(tie(0x3C00, Accumulator::f16) == 0x3C00);  // 1 + 2^-11
  CHECK(tie(0x3C01, Accumulator::f16) == 0x3C02);
  const Case above{mma_sync, 90, f16, {1.0 / 32, 1.0 / 1024}, {1.0 / 64, 1.0 / 1024}};
  CHECK(above(0x3C00, Accumulator::f16) == 0x3C01);  // 1 + 2^-11 + 2^-20
  const Case largest{mma_sync, 90, f16, {4}, {4}};
  CHECK(largest(0x7BFF, Accumulator::f16) == 0x7C00);  // 65504 + 16 is the tie to infinity
  CHECK(largest(0x7BFE, Accumulator::f16) == 0x7BFE);
}

TEST_CASE("a sum that rounds to zero is +0, whatever its sign") {
  // In the last of two blocks: c would take the sign away.
  const auto last = [](Element element, double a, double b, Accumulator accumulator) {
    std::vector<double> as(kMaxK), bs(kMaxK);
    as.back() = a, bs.back() = b;
    return Case{wgmma, 90, element, as, bs}(0, accumulator);
  };
  CHECK(last(bf16, -0x1p-75, 0x1p-76, Accumulator::f32) == 0);  // of -2^-151, below fp32
  CHECK(last(bf16, -0x1p-75, 0x1p-74, Accumulator::f32) == 0x80000001);
  CHECK(last(f16, -0x1p-12, 0x1p-13, Accumulator::f16) == 0);  // half of fp16's smallest number
  CHECK(last(f16, -0x1p-12, 0x1p-12, Accumulator::f16) == 0x8001);
}

TEST_CASE("zeros, infinities and NaN") {
  constexpr std::uint32_t kInfinity = 0x7F800000, kNan = 0x7FFFFFFF;
  const DotModel& model = *find_dot_model(mma_sync, 90, bf16, bf16);
  const auto dot = [&](std::initializer_list<std::uint32_t> a,
                       std::initializer_list<std::uint32_t> b, std::uint32_t c) {
    const std::vector<std::uint32_t> a_bits(a), b_bits(b);
    return fused_dot(model, Accumulator::f32, {bf16, a_bits}, {bf16, b_bits}, c);
  };
  CHECK(dot({0x8000}, {0x3F80}, 0x80000000) == 0);                           // -0 + -0
  CHECK(dot({0x7F80}, {0x3F80}, bits(1)) == kInfinity);                      // inf * 1 + 1
  CHECK(dot({0x7F80}, {0xBF80}, bits(1)) == (kInfinity | 0x80000000));       // inf * -1 + 1
  CHECK(dot({0x7F80}, {0x0000}, bits(1)) == kNan);                           // inf * 0
  CHECK(dot({0x7F80}, {0x3F80}, kInfinity | 0x80000000) == kNan);            // inf - inf
  CHECK(dot({0x7F80, 0x7F80}, {0x3F80, 0xBF80}, 0) == kNan);                 // inf - inf
  CHECK(dot({0x7FC1}, {0x0000}, 0) == kNan);                                 // NaN * 0
  CHECK(dot({0x3F80}, {0x3F80}, 0xFFC00001) == kNan);                        // c is NaN
  CHECK(dot({0x7F7F}, {0x4000}, 0) == kInfinity);                            // overflow
  CHECK(dot({0x7F7F, 0xFF7F}, {0x4000, 0x4000}, bits(1)) == 0);              // none in between
  CHECK(dot({0x0001}, {0x3F80}, 0) == 0x00010000);                           // bf16's lowest
  CHECK(dot({0x0001, 0x0080}, {0x3F00, 0xBE80}, 0) == 0x80200000 - 0x8000);  // subnormal result
}

}  // namespace
}  // namespace octavo::emulator::tensor_core
