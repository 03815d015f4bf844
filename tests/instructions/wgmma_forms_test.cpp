// Every form of wgmma's operands, through PTX, against the scalar models.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>

#include "../tensor_core/layouts.hpp"
#include "tensor_core/fused_dot.hpp"
#include "tensor_core/wgmma.hpp"
#include "wgmma_kernel.hpp"

using namespace octavo::emulator;
using namespace octavo::emulator::test;
using namespace octavo::emulator::tensor_core;

namespace {

using enum Element;

std::string list(const char* prefix, std::size_t count) {
  std::string text = "{";
  for (std::size_t i = 0; i < count; ++i) text += fmt::format("{}%{}{}", i ? ", " : "", prefix, i);
  return text + "}";
}
// One instruction's form and its operands' layouts.
struct Form {
  WgmmaShape shape;
  bool a_in_registers = false, accumulates = true, negate_a = false, negate_b = false;
  Layout a, b;

  std::string text() const {
    const auto name = [](Element element) {
      constexpr const char* kNames[] = {"f16", "bf16", "tf32", "e4m3", "e5m2", "s8", "u8"};
      return kNames[static_cast<int>(element)];
    };
    constexpr const char* kAccumulators[] = {"f32", "f16", "s32"};
    const bool integer = shape.accumulator == Accumulator::s32;
    std::string text = fmt::format(
        "wgmma.mma_async.sync.aligned.m64n{}k{}.{}.{}.{} {}, {}, {}, {}", shape.n, shape.k(),
        kAccumulators[static_cast<int>(shape.accumulator)], name(shape.a), name(shape.b),
        list("c", static_cast<std::size_t>(shape.accumulator_registers())),
        a_in_registers ? list("a", 4) : fmt::format("0x{:x}", a.descriptor() + kImage),
        fmt::format("0x{:x}", b.descriptor() + kImage), accumulates ? "%yes" : "%no");
    if (!integer) text += fmt::format(", {}, {}", negate_a ? -1 : 1, negate_b ? -1 : 1);
    if (bytes_of(shape.a) == 2) {
      if (!a_in_registers) text += fmt::format(", {}", a.major == Major::mn ? 1 : 0);
      text += fmt::format(", {}", b.major == Major::mn ? 1 : 0);
    }
    return text + ";\n";
  }
};

// What a warpgroup's registers hold of a matrix: where element (row, k or column) is.
struct Place {
  std::size_t word;  // [register][thread]
  int shift;
};
Place place_of_d(int row, int column, int bytes) {
  const int thread = row / 16 * 32 + row % 8 * 4 + column % 8 / 2;
  const int v = column / 8 * 4 + row / 8 % 2 * 2 + column % 2;
  return {static_cast<std::size_t>((bytes == 2 ? v / 2 : v) * 128 + thread),
          bytes == 2 ? 16 * (v % 2) : 0};
}
Place place_of_a(int row, int k, int bytes) {
  const int at = k * bytes;  // in the row's 32 bytes
  const int thread = row / 16 * 32 + row % 8 * 4 + at % 16 / 4;
  const int v = at / 16 * 2 + row / 8 % 2;
  return {static_cast<std::size_t>(v * 128 + thread), at % 4 * 8};
}

std::uint32_t negated(Element element, std::uint32_t bits, bool yes) {
  return yes ? bits ^ 1u << (format_of(element).bits - 1) : bits;
}

// d of one element, by the scalar model or in integers.
std::uint32_t expected(const Form& form, std::vector<std::uint32_t> a, std::vector<std::uint32_t> b,
                       std::uint32_t c) {
  const auto& shape = form.shape;
  if (!form.accumulates) c = 0;
  if (shape.accumulator == Accumulator::s32) {
    for (std::size_t k = 0; k < a.size(); ++k) {
      const int x = shape.a == s8 ? static_cast<std::int8_t>(a[k]) : static_cast<int>(a[k]);
      const int y = shape.b == s8 ? static_cast<std::int8_t>(b[k]) : static_cast<int>(b[k]);
      c += static_cast<std::uint32_t>(x * y);
    }
    return c;
  }
  for (auto& x : a) x = negated(shape.a, x, form.negate_a);
  for (auto& x : b) x = negated(shape.b, x, form.negate_b);
  return fused_dot(*find_dot_model(Instruction::wgmma, 90, shape.a, shape.b), shape.accumulator,
                   {shape.a, a}, {shape.b, b}, c);
}

void check_form(const Form& form, Random& random) {
  const auto& shape = form.shape;
  const bool half = shape.accumulator == Accumulator::f16;
  const int bytes = bytes_of(shape.a), k = shape.k();
  const std::string text = form.text();
  CAPTURE(text);
  const Matrix a = random_matrix(shape.a, 64, Inputs::near_one, random);
  const Matrix b = random_matrix(shape.b, shape.n, Inputs::near_one, random);
  std::vector<std::byte> image(kSharedBytes, std::byte{0xFF});
  if (!form.a_in_registers) place(a, form.a, bytes, image);
  place(b, form.b, bytes, image);
  const auto registers = static_cast<std::size_t>(shape.accumulator_registers());
  std::vector<std::uint32_t> c(registers * 128), a_words(512);
  for (auto& word : c) {
    word = shape.accumulator == Accumulator::s32 ? any_bits(random)
           : half
               ? draw(kF16, Inputs::near_one, random) | draw(kF16, Inputs::near_one, random) << 16
               : draw(kF32, Inputs::near_one, random);
  }
  for (int row = 0; row < 64; ++row)
    for (int i = 0; i < k; ++i) {
      const Place at = place_of_a(row, i, bytes);
      a_words[at.word] |= a[static_cast<std::size_t>(row)][static_cast<std::size_t>(i)] << at.shift;
    }
  // A byte of shared memory has no value. What depends on it is replaced, as p2 says after A.
  const bool of_a = !form.a_in_registers && random() % 2;
  const int undefined = static_cast<int>(random() % (of_a ? 64u : static_cast<unsigned>(shape.n)));
  const std::uint32_t byte =
      (of_a ? form.a : form.b)
          .address(static_cast<std::uint32_t>(undefined),
                   static_cast<std::uint32_t>(random() % static_cast<unsigned>(k)),
                   static_cast<std::uint32_t>(bytes));
  const auto is_undefined = [&](int row, int column) { return undefined == (of_a ? row : column); };
  a_words.resize(512 + c.size());
  for (int row = 0; row < 64; ++row)
    for (int column = 0; column < shape.n; ++column)
      if (is_undefined(row, column)) a_words[512 + place_of_d(row, column, half ? 2 : 4).word] = 1;
  std::string replace;
  for (std::size_t i = 0; i < registers; ++i)
    replace += fmt::format(
        "ld.global.b32 %t4, [%x4+{}]; setp.ne.u32 %q, %t4, 0; selp.b32 %c{}, 0, %c{}, %q;\n",
        2048 + 512 * i, i, i);
  const std::string product =
      fmt::format("bar.sync 0; @%p0 st.shared.b8 [image+{}], %r59;\n", byte) + kPublish + kFence +
      text + kCommit + kWait;
  const auto run = [&](const std::string& body) {
    Machine machine(kernel(registers, image.size(), "setp.eq.u32 %p0, %t0, 0;\n" + body));
    const std::uint64_t out = machine.upload(std::vector<std::uint32_t>(c.size(), 0xDEADBEEF));
    machine.launch({}, {128, 1, 1},
                   {machine.upload(image), machine.upload(c), machine.upload(a_words), out},
                   static_cast<std::uint32_t>(kSharedBytes));
    return machine.download<std::uint32_t>(out, c.size());
  };
  CHECK_THROWS_WITH_AS(run(product), doctest::Contains("stores an undefined value"), Fault);
  const std::vector<std::uint32_t> d = run(product + replace);
  int wrong = 0;
  for (int row = 0; row < 64; ++row)
    for (int column = 0; column < shape.n; ++column) {
      const Place at = place_of_d(row, column, half ? 2 : 4);
      if (a_words[512 + at.word] != 0) continue;
      const std::uint32_t keep = half ? 0xFFFF : ~0u;
      const std::uint32_t want =
          expected(form, a[static_cast<std::size_t>(row)], b[static_cast<std::size_t>(column)],
                   c[at.word] >> at.shift & keep);
      if ((d[at.word] >> at.shift & keep) != want && ++wrong == 1)
        MESSAGE(fmt::format("row {}, column {}: {:x}, not {:x}", row, column,
                            d[at.word] >> at.shift & keep, want));
    }
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("wgmma: each type from registers and shared memory, signs, transposes, scale-d") {
  Random random(11);
  const WgmmaShape shapes[] = {
      {16, e4m3, e4m3, Accumulator::f32}, {8, e5m2, e4m3, Accumulator::f32},
      {24, e4m3, e5m2, Accumulator::f16}, {256, e5m2, e5m2, Accumulator::f32},
      {40, f16, f16, Accumulator::f32},   {64, f16, f16, Accumulator::f16},
      {72, bf16, bf16, Accumulator::f32}, {48, tf32, tf32, Accumulator::f32},
      {32, s8, u8, Accumulator::s32},     {16, u8, s8, Accumulator::s32},
  };
  for (const WgmmaShape& shape : shapes) {
    const bool integer = shape.accumulator == Accumulator::s32;
    const bool transposable = bytes_of(shape.a) == 2;
    for (const bool in_registers : {false, true}) {
      const auto major = [&] { return transposable && random() % 2 ? Major::mn : Major::k; };
      const auto swizzle = [&] {
        constexpr std::uint32_t kSwizzles[] = {0, 32, 64, 128};
        return kSwizzles[random() % 4];
      };
      Form form{shape, in_registers, random() % 4 != 0, false, false, {}, {}};
      form.negate_a = !integer && random() % 2;
      form.negate_b = !integer && random() % 2;
      form.a = random_layout(major(), swizzle(), 64, random);
      form.b = random_layout(major(), swizzle(), shape.n, random);
      form.b.start += 96 << 10;  // A and what lies before it end below
      const char* order = kCompletionOrders[random() % std::size(kCompletionOrders)];
      setenv("OCTAVO_ASYNC", order, 1);
      check_form(form, random);
    }
  }
  unsetenv("OCTAVO_ASYNC");
}
