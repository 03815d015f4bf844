#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "program.hpp"

using namespace octavo::test;

namespace {

using Half = _Float16;

std::vector<std::string> options() { return {"--include-path=" + cuda_headers()}; }

bool lacks_headers() {
  if (!cuda_headers().empty()) return false;
  MESSAGE("not run: no CUDA headers here (CUDA_HOME, CUDA_PATH, /usr/local/cuda)");
  return true;
}

std::vector<std::uint16_t> bits_of(const std::vector<Half>& values) {
  std::vector<std::uint16_t> bits;
  for (const Half value : values) bits.push_back(std::bit_cast<std::uint16_t>(value));
  return bits;
}

float bfloat(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

// Rounded to odd: rounding the result once more, to fewer bits, is rounding the value itself.
float to_odd(double value) {
  const float nearest = static_cast<float>(value);
  if (nearest == value) return nearest;
  auto bits = std::bit_cast<std::uint32_t>(nearest);
  if (std::abs(double{nearest}) > std::abs(value)) --bits;
  return std::bit_cast<float>(bits | 1);
}

Half to_half(double value) { return static_cast<Half>(to_odd(value)); }

std::uint16_t to_bfloat(double value) {
  const auto bits = std::bit_cast<std::uint32_t>(to_odd(value));
  return static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

}  // namespace

TEST_CASE("arithmetic of half2") {
  if (lacks_headers()) return;
  constexpr std::size_t kCount = 500;
  std::vector<Half> in;
  for (const float value : random_values<float>(kCount * 6, -30, 30, 1)) {
    in.push_back(static_cast<Half>(value));
  }
  std::vector<Half> expected;
  for (std::size_t i = 0; i < kCount; ++i) {
    const Half *a = &in[6 * i], *b = a + 2, *c = a + 4;
    const auto both = [&](auto function) {
      for (int h = 0; h < 2; ++h)
        expected.push_back(function(double{a[h]}, double{b[h]}, double{c[h]}));
    };
    both([](double x, double y, double) { return to_half(x + y); });
    both([](double x, double y, double) { return to_half(x * y); });
    both([](double x, double y, double z) { return to_half(x * y + z); });
    both([](double x, double y, double z) { return std::max(to_half(x * y + z), Half{0}); });
    both([](double x, double y, double) { return static_cast<Half>(std::max(x, -y)); });
    both([](double x, double y, double) { return static_cast<Half>(x < y ? 1 : 0); });
    expected.push_back(to_half(double{a[0]} - double{b[1]}));
    expected.push_back(static_cast<Half>(std::abs(double{c[0]})));
    expected.push_back(static_cast<Half>(static_cast<float>(a[0]) * 3.0F));
    expected.push_back(static_cast<Half>(static_cast<int>(std::nearbyint(double{b[1]}))));
  }
  Program program("halves", options());
  Array<std::uint16_t> out(expected.size());
  program.launch("half_arithmetic", {4}, {128}, 0, *Array<std::uint16_t>(bits_of(in)), *out, 500);
  const auto found = out.values(), wanted = bits_of(expected);
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (found[i] != wanted[i])
      FAIL_CHECK("pair " << i / 16 << ", result " << i % 16 << ": " << found[i] << ", not "
                         << wanted[i]);
  }
}

TEST_CASE("arithmetic of bfloat162") {
  if (lacks_headers()) return;
  constexpr std::size_t kCount = 500;
  std::vector<std::uint16_t> in, expected;
  for (const float value : random_values<float>(kCount * 6, -30, 30, 2))
    in.push_back(to_bfloat(value));
  for (std::size_t i = 0; i < kCount; ++i) {
    const std::uint16_t *a = &in[6 * i], *b = a + 2, *c = a + 4;
    const auto both = [&](auto function) {
      for (int h = 0; h < 2; ++h) {
        expected.push_back(
            to_bfloat(function(double{bfloat(a[h])}, double{bfloat(b[h])}, double{bfloat(c[h])})));
      }
    };
    both([](double x, double y, double) { return x + y; });
    both([](double x, double y, double) { return x * y; });
    both([](double x, double y, double z) { return x * y + z; });
    both([](double x, double y, double) { return x >= y ? 1.0 : 0.0; });
  }
  Program program("halves", options());
  Array<std::uint16_t> out(expected.size());
  program.launch("bfloat_arithmetic", {4}, {128}, 0, *Array<std::uint16_t>(in), *out, 500);
  CHECK(out.values() == expected);
}

TEST_CASE("through fp8 and back") {
  if (lacks_headers()) return;
  const auto in = random_values<float>(1000, -500, 500, 3);
  // To nearest even among numbers of this many bits, down to the least exponent, up to the largest.
  const auto nearest = [](float value, int bits, int least, float largest) {
    const int exponent = std::max(std::ilogb(value), least);
    const float quantum = std::ldexp(1.0F, exponent - bits);
    return std::clamp(std::nearbyint(value / quantum) * quantum, -largest, largest);
  };
  std::vector<float> expected;
  for (const float value : in) {
    expected.push_back(nearest(value, 3, -6, 448));
    expected.push_back(nearest(value, 2, -14, 57344));
  }
  Program program("halves", options());
  Array<float> out(expected.size());
  program.launch("through_fp8", {8}, {128}, 0, *Array<float>(in), *out, 1000);
  CHECK(out.values() == expected);
}

TEST_CASE("atomics of halves") {
  if (lacks_headers()) return;
  Program program("halves", options());
  each_schedule([&] {
    Array<std::uint16_t> sums(std::vector<std::uint16_t>(4, 0));
    program.launch("add_halves", {5}, {70}, 0, *sums, *sums + 4);
    CHECK(sums.values() == bits_of({Half{350}, Half{0}, Half{350}, Half{700}}));
  });
}

TEST_CASE("a matrix product by wmma") {
  if (lacks_headers()) return;
  constexpr std::size_t kN = 48;
  // Small integers: every sum is exact.
  const auto a = random_values<int>(kN * kN, -8, 8, 4), b = random_values<int>(kN * kN, -8, 8, 5),
             c = random_values<int>(kN * kN, -100, 100, 6);
  std::vector<Half> a_halves(a.begin(), a.end()), b_halves(b.begin(), b.end());
  std::vector<float> expected;
  for (std::size_t i = 0; i < kN * kN; ++i) {
    int sum = c[i];
    for (std::size_t k = 0; k < kN; ++k) sum += a[i / kN * kN + k] * b[k * kN + i % kN];
    expected.push_back(static_cast<float>(2 * sum));
  }
  Program program("halves", options());
  each_schedule([&] {
    Array<float> d(expected.size());
    program.launch("multiply", {3, 3}, {32}, 0, *Array<std::uint16_t>(bits_of(a_halves)),
                   *Array<std::uint16_t>(bits_of(b_halves)),
                   *Array<float>(std::vector<float>(c.begin(), c.end())), *d, static_cast<int>(kN));
    CHECK(d.values() == expected);
  });
}
