// wgmma through PTX: every form's operands, its order with other instructions, and what is wrong.
#include "tensor_core/wgmma.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>

#include "../tensor_core/layouts.hpp"
#include "harness.hpp"
#include "tensor_core/fused_dot.hpp"

using namespace octavo::emulator;
using namespace octavo::emulator::test;
using namespace octavo::emulator::tensor_core;

namespace {

using enum Element;

constexpr const char* kOrders[] = {"eager", "latest", "random:1", "random:2", "random:3"};

// Runs the body under each completion order.
template <typename Body>
void under_every_order(Body&& body) {
  for (const char* order : kOrders) {
    setenv("OCTAVO_ASYNC", order, 1);
    CAPTURE(std::string(order));
    body(order);
  }
  unsetenv("OCTAVO_ASYNC");
}

std::string list(const char* prefix, std::size_t count) {
  std::string text = "{";
  for (std::size_t i = 0; i < count; ++i) text += fmt::format("{}%{}{}", i ? ", " : "", prefix, i);
  return text + "}";
}

constexpr const char* kFence = "wgmma.fence.sync.aligned;\n";
constexpr const char* kCommit = "wgmma.commit_group.sync.aligned;\n";
constexpr const char* kWait = "wgmma.wait_group.sync.aligned 0;\n";

// A kernel of one warpgroup: shared memory is filled from p0 (as many bytes as the parameter
// `image_bytes` says, a multiple of 2048), and accumulators %c0 ... from p1, [register][thread];
// %a0..3, A's registers, from p2; then `body`; then the accumulators are stored to p3.
std::string kernel(std::size_t registers, std::size_t image_bytes, const std::string& body) {
  std::string text = fmt::format(
      ".reg .b32 %c<{}>, %a<4>, %t<8>; .reg .b64 %x<8>; .reg .pred %yes, %no, %q;\n"
      "setp.eq.u32 %yes, 0, 0; setp.ne.u32 %no, 0, 0;\n"
      "mov.u32 %t0, %tid.x; mul.wide.u32 %x0, %t0, 4; mul.wide.u32 %x1, %t0, 16;\n"
      "ld.param.u64 %x2, [p0]; add.u64 %x2, %x2, %x1; mov.u32 %t1, image; cvt.u32.u64 %t2, %x1;\n"
      "add.u32 %t1, %t1, %t2; mov.u32 %t3, {};\n"
      "FILL: ld.global.v4.u32 {{%t4, %t5, %t6, %t7}}, [%x2];\n"
      "st.shared.v4.u32 [%t1], {{%t4, %t5, %t6, %t7}};\n"
      "add.u64 %x2, %x2, 2048; add.u32 %t1, %t1, 2048; sub.u32 %t3, %t3, 1;\n"
      "setp.ne.u32 %q, %t3, 0; @%q bra FILL;\n"
      "ld.param.u64 %x3, [p1]; add.u64 %x3, %x3, %x0; ld.param.u64 %x4, [p2];\n"
      "add.u64 %x4, %x4, %x0; ld.param.u64 %x5, [p3]; add.u64 %x5, %x5, %x0;\n",
      registers, image_bytes / 2048);
  for (std::size_t i = 0; i < registers; ++i)
    text += fmt::format("ld.global.b32 %c{}, [%x3+{}];\n", i, 512 * i);
  for (std::size_t i = 0; i < 4; ++i)
    text += fmt::format("ld.global.b32 %a{}, [%x4+{}];\n", i, 512 * i);
  text += body;
  for (std::size_t i = 0; i < registers; ++i)
    text += fmt::format("st.global.b32 [%x5+{}], %c{};\n", 512 * i, i);
  return module_of(text, ".extern .shared .align 1024 .b8 image[];");
}

constexpr const char* kPublish = "fence.proxy.async;\nbar.sync 0;\n";

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
        a_in_registers ? list("a", 4) : fmt::format("0x{:x}", a.descriptor()),
        fmt::format("0x{:x}", b.descriptor()), accumulates ? "%yes" : "%no");
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
  Machine machine(
      kernel(registers, image.size(), kPublish + std::string(kFence) + text + kCommit + kWait));
  const std::uint64_t out = machine.upload(std::vector<std::uint32_t>(c.size(), 0xDEADBEEF));
  machine.launch({}, {128, 1, 1},
                 {machine.upload(image), machine.upload(c), machine.upload(a_words), out},
                 static_cast<std::uint32_t>(kSharedBytes));
  const auto d = machine.download<std::uint32_t>(out, c.size());
  int wrong = 0;
  for (int row = 0; row < 64; ++row)
    for (int column = 0; column < shape.n; ++column) {
      const Place at = place_of_d(row, column, half ? 2 : 4);
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
      const char* order = kOrders[random() % std::size(kOrders)];
      setenv("OCTAVO_ASYNC", order, 1);
      check_form(form, random);
    }
  }
  unsetenv("OCTAVO_ASYNC");
}

namespace {

// m64n8k16 of f16 with operands at 0 (A) and 4096 (B): K-major core matrices, A's and B's halves of
// k 128 bytes apart.
constexpr std::uint64_t kA = 0x0000'0010'0008'0000, kB = 0x0000'0010'0008'0100;
std::string small_wgmma(const char* accumulators = "{%c0, %c1, %c2, %c3}",
                        const char* b = "0x1000080100", const char* scale = "%yes") {
  return fmt::format(
      "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {}, 0x{:x}, {}, {}, 1, 1, 0, 0;\n",
      accumulators, kA, b, scale);
}

// The ending of a kernel of four accumulators whose operands are all ones, and what it stores.
struct Run {
  Ending ending;
  std::vector<std::uint32_t> d;
};
Run run(const std::string& body, Dim3 block = {128, 1, 1}) {
  const std::string ptx = kernel(4, 8192, body);
  Run result;
  try {
    Machine machine(ptx);
    const std::vector<std::uint16_t> ones(4096, 0x3C00);
    const std::vector<std::uint32_t> c(512), a(512, 0x3C003C00);
    const std::uint64_t out = machine.upload(std::vector<std::uint32_t>(512, 0xDEADBEEF));
    machine.launch({}, block, {machine.upload(ones), machine.upload(c), machine.upload(a), out},
                   8192);
    result.d = machine.download<std::uint32_t>(out, 512);
  } catch (const Fault& fault) {
    result.ending = {fault.code(), fault.what()};
  }
  return result;
}

void check_value(const std::string& body, float value) {
  CAPTURE(body);
  under_every_order([&](std::string_view) {
    const Run result = run(body);
    CHECK(result.ending.message == "");
    if (result.d.empty()) return;
    int wrong = 0;
    for (const std::uint32_t word : result.d) wrong += word != f(value);
    CHECK_MESSAGE(wrong == 0, fmt::format("{:x}", result.d[0]));
  });
}

// Under which orders a fault is sure to show.
enum class Shows { always, in_flight, latest };

void check_fault(const std::string& body, const std::vector<const char*>& says,
                 Shows shows = Shows::always, Dim3 block = {128, 1, 1}) {
  CAPTURE(body);
  under_every_order([&](std::string_view order) {
    if (shows != Shows::always && order == "eager") return;
    if (shows == Shows::latest && order != "latest") return;
    const Ending ending = run(body, block).ending;
    CHECK(ending.code != CUDA_SUCCESS);
    CHECK(ending.message.find('\n') == std::string::npos);
    for (const char* part : says)
      CHECK_MESSAGE(ending.message.find(part) != std::string::npos,
                    ending.message << " lacks " << part);
  });
}

const std::string kStart = std::string(kPublish) + kFence;
const std::string kEnd = std::string(kCommit) + kWait;

}  // namespace

TEST_CASE("wgmma in flight: chains, groups, moves and loops") {
  check_value(kStart + small_wgmma() + kEnd, 16);
  check_value(kStart + small_wgmma() + small_wgmma() + small_wgmma() + kEnd, 48);
  check_value(kStart + small_wgmma() + kCommit + small_wgmma() + kCommit +
                  "wgmma.wait_group.sync.aligned 1;\n" + small_wgmma() + kEnd,
              48);
  check_value(kStart + "setp.eq.u32 %q, %t0, %t0;\n" + small_wgmma() +
                  small_wgmma("{%c0, %c1, %c2, %c3}", "0x1000080100", "%no") + kEnd,
              16);
  // Accumulators move while in flight, and come back.
  check_value(kStart + small_wgmma() + kCommit +
                  "mov.b32 %t4, %c0; mov.b32 %t5, %c1; mov.b32 %t6, %c2; mov.b32 %t7, %c3;\n" +
                  small_wgmma("{%t4, %t5, %t6, %t7}") + kEnd +
                  "mov.b32 %c0, %t4; mov.b32 %c1, %t5; mov.b32 %c2, %t6; mov.b32 %c3, %t7;\n",
              32);
  // Through a loop's back-edge, with a divergent detour in it.
  check_value(kStart + "mov.u32 %r1, 5;\nLOOP:\n" + small_wgmma() + kCommit +
                  "setp.lt.u32 %p1, %t0, 7; @%p1 bra SKIP; add.u32 %r2, %r1, 1; SKIP:\n"
                  "sub.u32 %r1, %r1, 1; setp.ne.u32 %p2, %r1, 0; @%p2 bra LOOP;\n" +
                  kWait,
              80);
  // The older of two groups may be used while the younger is in flight.
  check_value(kStart + small_wgmma() + kCommit +
                  "mov.b32 %t4, 0; mov.b32 %t5, 0; mov.b32 %t6, 0; mov.b32 %t7, 0;\n" +
                  small_wgmma("{%t4, %t5, %t6, %t7}") + kCommit +
                  "wgmma.wait_group.sync.aligned 1;\n"
                  "add.f32 %c0, %c0, 0f3F800000; add.f32 %c1, %c1, 0f3F800000;\n"
                  "add.f32 %c2, %c2, 0f3F800000; add.f32 %c3, %c3, 0f3F800000;\n" +
                  kWait,
              17);
}

namespace {

// A sound program of wgmmas, commits, waits, moves and additions in random order, on three sets of
// four accumulators, and the value that each set ends with.
struct RandomProgram {
  static constexpr int kSets = 3, kSteps = 40;
  static constexpr int kSettled = -1;
  std::string text = kStart;
  float values[kSets] = {};
  int ages[kSets] = {kSettled, kSettled, kSettled};  // groups committed since the wgmma's issue
  bool fenced = true;

  explicit RandomProgram(unsigned seed) {
    Random random(seed);
    for (int i = 0; i < kSteps; ++i)
      step(random, static_cast<int>(random() % kSets), static_cast<int>(random() % kSets));
    commit();
    wait(0);
  }

  static std::string set(int s) {
    return fmt::format("{{%c{}, %c{}, %c{}, %c{}}}", 4 * s, 4 * s + 1, 4 * s + 2, 4 * s + 3);
  }

  void step(Random& random, int s, int other) {
    switch (random() % 8) {
      case 0:
        return commit();
      case 1:
        return wait(static_cast<int>(random() % 3));
      case 2:
      case 3:
        for (int r = 0; r < 4; ++r)
          text += fmt::format("mov.b32 %c{}, %c{};\n", 4 * other + r, 4 * s + r);
        values[other] = values[s];
        ages[other] = ages[s];
        return;
      case 4:
        if (ages[s] != kSettled) return;
        for (int r = 0; r < 4; ++r)
          text += fmt::format("add.f32 %c{0}, %c{0}, 0f3F800000;\n", 4 * s + r);
        values[s] += 1;
        fenced = false;
        return;
      default:
        if (!fenced) text += kFence;
        fenced = true;
        const bool accumulates = random() % 4 != 0;
        text += small_wgmma(set(s).c_str(), "0x1000080100", accumulates ? "%yes" : "%no");
        values[s] = (accumulates ? values[s] : 0) + 16;
        ages[s] = 0;
    }
  }

  void commit() {
    text += kCommit;
    for (int& age : ages)
      if (age != kSettled) ++age;
  }

  void wait(int pending) {
    text += fmt::format("wgmma.wait_group.sync.aligned {};\n", pending);
    for (int& age : ages)
      if (age > pending) age = kSettled;
  }
};

}  // namespace

TEST_CASE("wgmma: random programs of accumulators in flight") {
  for (unsigned seed = 0; seed < 30; ++seed) {
    CAPTURE(seed);
    const RandomProgram program(seed);
    Machine machine(kernel(4 * RandomProgram::kSets, 8192, program.text));
    const std::uint64_t ones = machine.upload(std::vector<std::uint16_t>(4096, 0x3C00));
    const std::uint64_t zeros = machine.upload(std::vector<std::uint32_t>(128 * 12));
    const std::uint64_t out = machine.upload(std::vector<std::uint32_t>(128 * 12, 0xDEADBEEF));
    under_every_order([&](std::string_view) {
      machine.launch({}, {128, 1, 1}, {ones, zeros, zeros, out}, 8192);
      const auto words = machine.download<std::uint32_t>(out, 128 * 12);
      for (std::size_t i = 0; i < words.size(); ++i)
        REQUIRE(words[i] == f(program.values[i / 512]));
    });
  }
}

TEST_CASE("wgmma: registers that are touched too early") {
  const char* early = "before the wgmma.wait_group of its wgmma";
  const std::string issue = kStart + small_wgmma();
  check_fault(issue + kCommit + "add.f32 %c0, %c0, %c0;\n" + kWait, {early, "line "},
              Shows::in_flight);
  check_fault(issue + kCommit + "st.global.b32 [%x5], %c3;\n" + kWait, {early}, Shows::in_flight);
  check_fault(issue + kWait, {early}, Shows::in_flight);  // the group was never committed
  check_fault(issue + kCommit + "mov.b32 %t4, %c1; cvt.rn.f16.f32 %h1, %t4;\n" + kWait, {early},
              Shows::in_flight);
  check_fault(issue + kCommit + small_wgmma("{%t4, %t5, %t6, %t7}") + kCommit +
                  "wgmma.wait_group.sync.aligned 1; add.f32 %t4, %t4, %t4;\n" + kWait,
              {early}, Shows::in_flight);
  check_fault(issue + kCommit + "ld.global.b32 %c2, [%x3];\n" + kWait, {early}, Shows::in_flight);
  check_fault(issue + kCommit +
                  "mov.u32 %r1, 0;\nLOOP: setp.eq.u32 %p1, %r1, 1;\n@%p1 add.f32 %c0, "
                  "%c0, %c0;\nadd.u32 %r1, %r1, 1; setp.lt.u32 %p2, %r1, 2; @%p2 bra LOOP;\n" +
                  kWait,
              {early}, Shows::in_flight);
}

TEST_CASE("wgmma without its fence") {
  check_fault(kPublish + small_wgmma() + kEnd, {"no wgmma.fence comes before it"});
  check_fault(kStart + "add.f32 %c1, %c1, %c1;\n" + small_wgmma() + kEnd,
              {"its accumulators were written without a wgmma.fence after it, at line",
               "add.f32 %c1, %c1, %c1"});
  check_fault(kStart + "mov.u32 %r1, 2;\nLOOP:\n" + small_wgmma() + kEnd +
                  "add.f32 %c0, %c0, %c0; sub.u32 %r1, %r1, 1; setp.ne.u32 %p2, %r1, 0; @%p2 bra "
                  "LOOP;\n",
              {"written without a wgmma.fence"});
  check_fault(kStart + "add.f32 %t4, %c1, %c1; mov.b32 %c1, %t4;\n" + small_wgmma() + kEnd,
              {"written without a wgmma.fence", "add.f32 %t4"});
  check_value(kStart + "add.f32 %c1, %c1, %c1;\n" + kFence + small_wgmma() + kEnd, 16);
  check_value(kStart + "mov.f32 %c1, 0f00000000;\n" + small_wgmma() + kEnd, 16);
  const std::string from_registers =
      "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%c0, %c1, %c2, %c3}, {%a0, %a1, %a2, "
      "%a3}, 0x1000080100, %yes, 1, 1, 0;\n";
  check_value(kStart + from_registers + kEnd, 16);
  check_fault(kStart + "or.b32 %a2, %a2, 0;\n" + from_registers + kEnd,
              {"A's registers were written without a wgmma.fence", "or.b32 %a2"});
  // A's registers stay as they are until the wait.
  check_fault(kStart + from_registers + kCommit + "mov.b32 %a2, 0;\n" + kWait,
              {"a register of A is overwritten before the wgmma.wait_group of its wgmma"},
              Shows::in_flight);
  check_value(kStart + from_registers + kEnd + "mov.b32 %a2, 0;\n", 16);
  check_value(kStart + from_registers + kCommit + "wgmma.wait_group.sync.aligned 1;\n" + kWait +
                  "mov.b32 %a1, 1;\n",
              16);
  // Other shapes on the same registers, and accumulators as A.
  const std::string tf32 =
      "wgmma.mma_async.sync.aligned.m64n8k8.f32.tf32.tf32 {%c0, %c1, %c2, %c3}, 0, 0x1000080100, "
      "%no, 1, 1;\n";
  check_fault(kStart + small_wgmma() + tf32 + kEnd,
              {"its accumulators hold those of a wgmma of m64n8k16, and no wgmma.fence came"});
  check_value(kStart + small_wgmma() + kFence + small_wgmma() + kEnd, 32);
  check_fault(kStart + small_wgmma() + kEnd +
                  "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%t4, %t5, %t6, %t7}, {%c0, "
                  "%c1, %c2, %c3}, 0x1000080100, %no, 1, 1, 0;\n" +
                  kEnd,
              {"A's registers hold those of a wgmma"});
}

TEST_CASE("wgmma and the shared memory that it reads") {
  const std::string store = "st.shared.b32 [%r5], %r4;\n";
  const std::string setup =
      "mov.u32 %r5, image; mov.u32 %r4, 0x3C003C00; mad.lo.u32 %r5, %t0, 4, %r5;\n";
  check_fault(setup + "bar.sync 0;\n" + kFence + small_wgmma() + kEnd,
              {"without a fence.proxy.async after it", "st.shared.v4.u32"});
  check_fault(setup + kStart + small_wgmma() + kCommit + "bar.sync 0;\n" + store + kWait,
              {"which work in flight still reads", "wgmma.mma_async"}, Shows::latest);
  check_value(setup + kStart + small_wgmma() + kEnd + "bar.sync 0;\n" + store + kStart +
                  small_wgmma() + kEnd,
              32);
}

TEST_CASE("wgmma takes a whole warpgroup that agrees") {
  check_fault("fence.proxy.async; setp.lt.u32 %p1, %t0, 33; @%p1 bra A;\n" + std::string(kFence) +
                  "A:\n" + kFence + small_wgmma() + kEnd + "@%p1 bra B;\nB:\n" +
                  "setp.eq.u32 %p2, %t0, 5; @%p2 exit;\n" + small_wgmma() + kEnd,
              {"lane 5", "does not take part"});
  check_fault(kStart + small_wgmma() + kEnd, {"are not a warpgroup"}, Shows::always, {96, 1, 1});
  check_fault(kStart +
                  "mov.u64 %rd1, 0x1000080100; setp.eq.u32 %p1, %t0, 40;\n@%p1 mov.u64 %rd1, "
                  "0x1000080101;\n" +
                  small_wgmma("{%c0, %c1, %c2, %c3}", "%rd1") + kEnd,
              {"descriptor of B", "lane 8"});
  check_fault(kStart +
                  "mov.u64 %rd1, 0x1000080100; setp.gt.u32 %p1, %t0, 63;\n@%p1 mov.u64 %rd1, "
                  "0x1000080101;\n" +
                  small_wgmma("{%c0, %c1, %c2, %c3}", "%rd1") + kEnd,
              {"the descriptor of B is 0x10000801", "of its warpgroup"});
  check_fault(kStart + "setp.gt.u32 %p1, %t0, 63; @%p1 bra OTHER;\n" + small_wgmma() + kEnd +
                  "bra DONE;\nOTHER:\n" + small_wgmma() + kEnd + "DONE:\n",
              {"has executed the wgmma at line", "instead"});
  check_fault(
      kStart + "setp.gt.u32 %p1, %t0, 95; @%p1 bra DONE;\n" + small_wgmma() + kEnd + "DONE:\n",
      {"of its warpgroup has"});
  check_fault(kStart + "setp.eq.u32 %p1, %t0, 77;\n" +
                  small_wgmma("{%c0, %c1, %c2, %c3}", "0x1000080100", "%p1") + kEnd,
              {"scale-d is not the same in all lanes"});
}

TEST_CASE("wgmma's descriptors are checked") {
  const auto with_b = [](const char* b) {
    return kStart + small_wgmma("{%c0, %c1, %c2, %c3}", b) + kEnd;
  };
  check_fault(with_b("0x2001000080100"), {"descriptor of B", "base offset"});
  check_fault(with_b("0x1000084100"), {"descriptor of B", "outside its fields"});
  check_fault(with_b("0x10000801F9"), {"lies up to shared address 0x2090", "8192 bytes"});
  check_fault(with_b("0x1000183F00"), {"lies up to"});
}

TEST_CASE("wgmma that is refused at load") {
  struct Wrong {
    std::string text;
    CUresult code;
    const char* says;
  };
  const std::string c4 = "{%c0, %c1, %c2, %c3}", ab = ", 0, 0, %yes";
  const std::string m = "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 ";
  const Wrong wrongs[] = {
      {"wgmma.mma_async.sp.sync.aligned.m64n8k32.f32.f16.f16 " + c4 + ab + ", 1, 1, 0, 0;",
       CUDA_ERROR_NOT_SUPPORTED, "modifier .sp"},
      {"wgmma.mma_async.sync.aligned.m64n12k16.f32.f16.f16 " + c4 + ab + ", 1, 1, 0, 0;",
       CUDA_ERROR_NOT_SUPPORTED, "no wgmma of this shape"},
      {"wgmma.mma_async.sync.aligned.m64n8k32.f32.f16.f16 " + c4 + ab + ", 1, 1, 0, 0;",
       CUDA_ERROR_NOT_SUPPORTED, "no wgmma of this shape"},
      {"wgmma.mma_async.sync.aligned.m64n8k32.f32.e4m3.e4m3 " + c4 + ab + ", 1, 1, 0, 0;",
       CUDA_ERROR_INVALID_PTX, "too many operands"},
      {m + c4 + ab + ", 1, 1, 0;", CUDA_ERROR_INVALID_PTX, "too few operands"},
      {m + c4 + ab + ", 1, 2, 0, 0;", CUDA_ERROR_INVALID_PTX, "must be 1 or -1"},
      {m + c4 + ab + ", 1, 1, 2, 0;", CUDA_ERROR_INVALID_PTX, "must be 0 or 1"},
      {m + "{%c0, %c1, %c2}" + ab + ", 1, 1, 0, 0;", CUDA_ERROR_INVALID_PTX, "has 4 registers"},
      {m + c4 + ", {%a0, %a1}, 0, %yes, 1, 1, 0;", CUDA_ERROR_INVALID_PTX, "four registers"},
  };
  for (const Wrong& wrong : wrongs) {
    const Ending ending = run(wrong.text).ending;
    CHECK_MESSAGE(ending.code == wrong.code, wrong.text << ": " << ending.message);
    CHECK_MESSAGE(ending.message.find(wrong.says) != std::string::npos, ending.message);
  }
}
