// wgmma against a matrix product that finds its elements one by one: in shared memory, by the
// canonical layouts as CUTLASS writes them down, and in registers, by the ISA's figures.
#include "tensor_core/wgmma.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "layouts.hpp"
#include "tensor_core/fused_dot.hpp"
#include "tensor_core/matrix_descriptor.hpp"

namespace octavo::emulator::tensor_core {
namespace {

using enum Element;
constexpr int kLanes = 32, kRows = 64;

std::vector<std::uint32_t> load(std::uint64_t bits, Major major, std::uint32_t first_group,
                                std::uint32_t groups, bool as_fragment,
                                const std::vector<std::byte>& shared) {
  MatrixDescriptor descriptor;
  REQUIRE(decode(bits, descriptor) == nullptr);
  std::vector<std::uint32_t> words(groups * kWgmmaColumnWords);
  for (std::uint32_t i = 0; i < groups; ++i) {
    std::uint32_t* lower = &words[i * (as_fragment ? 32 : 64)];
    load_core_matrices(descriptor, major, first_group + i, shared.data(), lower,
                       lower + (as_fragment ? 64 : 32));
  }
  return words;
}

// Accumulators of one warp, with the ISA's place of each: row g + 8 of odd pairs, column 2t + 8 of
// every fourth.
struct Accumulators {
  Accumulator kind;
  int n;
  std::vector<std::uint32_t> words;

  Accumulators(Accumulator accumulator, int columns)
      : kind(accumulator),
        n(columns),
        words(static_cast<std::size_t>(columns) * 16 / (accumulator == Accumulator::f16 ? 2 : 1)) {}

  template <typename Visit>
  void for_each(Visit&& visit) {
    for (int lane = 0; lane < kLanes; ++lane)
      for (int v = 0; v < n / 2; ++v) {
        const int row = lane / 4 + 8 * (v / 2 % 2), column = v / 4 * 8 + lane % 4 * 2 + v % 2;
        const bool half = kind == Accumulator::f16;
        const int word = (half ? v / 2 : v) * kLanes + lane;
        visit(row, column, static_cast<std::size_t>(word), half ? 16 * (v % 2) : 0);
      }
  }
  std::uint32_t get(std::size_t word, int shift) const {
    return kind == Accumulator::f16 ? words[word] >> shift & 0xFFFF : words[word];
  }
};

double value_of(const Format& format, std::uint32_t bits) {
  const Number number = decode(format, bits);
  const double magnitude = std::ldexp(number.significand, number.exponent - kFractionBits);
  return number.kind == Number::Kind::zero ? 0 : number.negative ? -magnitude : magnitude;
}

double exact(const WgmmaShape& shape, const std::vector<std::uint32_t>& a,
             const std::vector<std::uint32_t>& b, std::uint32_t c) {
  double sum = value_of(shape.accumulator == Accumulator::f16 ? kF16 : kF32, c);
  for (std::size_t k = 0; k < a.size(); ++k)
    sum += value_of(format_of(shape.a), a[k]) * value_of(format_of(shape.b), b[k]);
  return sum;
}

// One warp's rows, from shared memory by descriptors, against one dot product an output.
void check_product(const WgmmaShape& shape, const Layout& a_layout, const Layout& b_layout,
                   Inputs inputs, Random& random) {
  CAPTURE(shape.n);
  CAPTURE(static_cast<int>(shape.a));
  CAPTURE(static_cast<int>(shape.b));
  CAPTURE(static_cast<int>(shape.accumulator));
  CAPTURE(fmt::format("a {:x}, b {:x}", a_layout.descriptor(), b_layout.descriptor()));
  const Matrix a = random_matrix(shape.a, kRows, inputs, random);
  const Matrix b = random_matrix(shape.b, shape.n, inputs, random);
  std::vector<std::byte> shared(kSharedBytes, std::byte{0xFF});
  place(a, a_layout, bytes_of(shape.a), shared);
  const auto warp = static_cast<std::uint32_t>(random() % 4);
  const auto a_words = load(a_layout.descriptor(), a_layout.major, 2 * warp, 2, true, shared);
  place(b, b_layout, bytes_of(shape.b), shared);
  const auto b_words = load(b_layout.descriptor(), b_layout.major, 0,
                            static_cast<std::uint32_t>(shape.n) / 8, false, shared);
  Accumulators d(shape.accumulator, shape.n);
  const bool half = shape.accumulator == Accumulator::f16;
  d.for_each([&](int, int, std::size_t word, int shift) {
    d.words[word] |= draw(half ? kF16 : kF32, inputs, random) << shift;
  });
  const Accumulators c = d;
  wgmma(shape, false, a_words.data(), b_words.data(), d.words.data());

  const DotModel* model = find_dot_model(Instruction::wgmma, 90, shape.a, shape.b);
  REQUIRE(model != nullptr);
  int wrong = 0;
  d.for_each([&](int row, int column, std::size_t word, int shift) {
    const auto& a_row = a[16 * warp + static_cast<std::uint32_t>(row)];
    const auto& b_row = b[static_cast<std::size_t>(column)];
    const std::uint32_t got = d.get(word, shift);
    const std::uint32_t expected = fused_dot(*model, shape.accumulator, {shape.a, a_row},
                                             {shape.b, b_row}, c.get(word, shift));
    if (got != expected && ++wrong == 1)
      MESSAGE(fmt::format("row {}, column {}: {:08x}, not {:08x}", row, column, got, expected));
    if (inputs != Inputs::near_one) return;
    // 33 terms are truncated below the largest, which is under 64; the result is rounded once.
    const double truth = exact(shape, a_row, b_row, c.get(word, shift));
    const int bits = half ? 10 : 13;
    const double tolerance =
        std::ldexp(33.0 * 64, -model->fraction_bits) + std::ldexp(std::abs(truth), -bits);
    wrong += !(std::abs(value_of(half ? kF16 : kF32, got) - truth) <= tolerance);
  });
  CHECK(wrong == 0);
}

std::vector<WgmmaShape> shapes(int n) {
  std::vector<WgmmaShape> all;
  for (const Element a : {e4m3, e5m2, f16, bf16, tf32})
    for (const Element b : {e4m3, e5m2, f16, bf16, tf32})
      for (const Accumulator accumulator : {Accumulator::f32, Accumulator::f16}) {
        const WgmmaShape shape{n, a, b, accumulator};
        if (exists(shape)) all.push_back(shape);
      }
  return all;
}

TEST_CASE("every type and N of wgmma") {
  Random random(1);
  int count = 0;
  for (int n = 8; n <= 256; n += 8) {
    const auto all = shapes(n);
    CHECK(all.size() == 12);
    for (const WgmmaShape& shape : all) {
      const Inputs inputs = kInputs[random() % std::size(kInputs)];
      check_product(shape, random_layout(Major::k, 0, kRows, random),
                    random_layout(Major::k, 128, n, random), inputs, random);
      ++count;
    }
  }
  CHECK(count == 32 * 12);
}

TEST_CASE("every layout of wgmma's operands") {
  Random random(2);
  for (const std::uint32_t a_swizzle : {0, 32, 64, 128})
    for (const std::uint32_t b_swizzle : {0, 32, 64, 128})
      for (const Major a_major : {Major::k, Major::mn})
        for (const Major b_major : {Major::k, Major::mn})
          for (const int n : {64, 128, 192})
            for (const WgmmaShape& shape : shapes(n)) {
              const bool transposable = bytes_of(shape.a) == 2;
              if (!transposable && (a_major == Major::mn || b_major == Major::mn)) continue;
              if (transposable != (n != 128)) continue;
              check_product(shape, random_layout(a_major, a_swizzle, kRows, random),
                            random_layout(b_major, b_swizzle, n, random), Inputs::near_one, random);
            }
}

TEST_CASE("integers are exact, and wrap or saturate") {
  Random random(3);
  for (const Element a : {s8, u8})
    for (const Element b : {s8, u8})
      for (const bool saturate : {false, true}) {
        const WgmmaShape shape{24, a, b, Accumulator::s32};
        REQUIRE(exists(shape));
        const Layout layout{0, Major::k, 0, 128, 256};
        const Matrix a_matrix = random_matrix(a, kRows, {}, random);
        const Matrix b_matrix = random_matrix(b, shape.n, {}, random);
        std::vector<std::byte> shared(kSharedBytes);
        place(a_matrix, layout, 1, shared);
        const auto a_words = load(layout.descriptor(), Major::k, 0, 2, true, shared);
        place(b_matrix, layout, 1, shared);
        const auto b_words = load(layout.descriptor(), Major::k, 0, 3, false, shared);
        Accumulators d(shape.accumulator, shape.n);
        for (auto& word : d.words)
          word = random() % 2 ? any_bits(random)
                              : 0x7FFFFFFF + static_cast<std::uint32_t>(random() % 2);
        const Accumulators c = d;
        wgmma(shape, saturate, a_words.data(), b_words.data(), d.words.data());
        const auto signed_value = [](Element element, std::uint32_t bits) {
          return element == s8 ? static_cast<std::int8_t>(bits) : static_cast<std::int64_t>(bits);
        };
        d.for_each([&](int row, int column, std::size_t word, int) {
          std::int64_t sum = static_cast<std::int32_t>(c.words[word]);
          for (std::size_t k = 0; k < 32; ++k)
            sum += signed_value(a, a_matrix[static_cast<std::size_t>(row)][k]) *
                   signed_value(b, b_matrix[static_cast<std::size_t>(column)][k]);
          if (saturate) sum = std::clamp<std::int64_t>(sum, INT32_MIN, INT32_MAX);
          REQUIRE(d.words[word] == static_cast<std::uint32_t>(sum));
        });
      }
}

TEST_CASE("negated operands") {
  std::uint32_t halves[] = {0x3C00BC00}, words[] = {0x3F800000, 0x80000000};
  negate(f16, halves, 1);
  negate(tf32, words, 2);
  CHECK(halves[0] == 0xBC003C00);
  CHECK(words[0] == 0xBF800000);
  CHECK(words[1] == 0);
}

TEST_CASE("wgmma that does not exist") {
  CHECK_FALSE(exists({12, f16, f16, Accumulator::f32}));
  CHECK_FALSE(exists({264, f16, f16, Accumulator::f32}));
  CHECK_FALSE(exists({0, f16, f16, Accumulator::f32}));
  CHECK_FALSE(exists({64, f16, bf16, Accumulator::f32}));
  CHECK_FALSE(exists({64, bf16, bf16, Accumulator::f16}));
  CHECK_FALSE(exists({64, tf32, tf32, Accumulator::f16}));
  CHECK_FALSE(exists({64, e4m3, f16, Accumulator::f32}));
  CHECK_FALSE(exists({40, s8, s8, Accumulator::s32}));
  CHECK_FALSE(exists({64, s8, s8, Accumulator::f32}));
  CHECK_FALSE(exists({64, s8, e4m3, Accumulator::s32}));
}

TEST_CASE("malformed descriptors") {
  MatrixDescriptor descriptor;
  CHECK(decode(0x4000'0040'0001'0100, descriptor) == nullptr);
  CHECK(descriptor.start == 0x1000);
  CHECK(descriptor.leading_offset == 16);
  CHECK(descriptor.stride_offset == 1024);
  CHECK(descriptor.swizzle == 128);
  for (const int bit : {14, 15, 30, 31, 46, 47, 48, 49, 50, 51, 52, 60, 61}) {
    CAPTURE(bit);
    CHECK(decode(std::uint64_t{1} << bit, descriptor) != nullptr);
  }
}

}  // namespace
}  // namespace octavo::emulator::tensor_core
