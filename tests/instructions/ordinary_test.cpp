// What ordinary CUDA C++ compiles to beyond plain arithmetic: pairs, conversions, wide atomics,
// the stack, wmma. Expected values are worked out by hand from the ISA's text.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <random>

#include "harness.hpp"

using namespace octavo::emulator;
using namespace octavo::emulator::test;

TEST_CASE("pairs of 16-bit integers and floats") {
  check_cases({
      // 1, -2 (0xC000) against 1, 3
      {"set.eq.f16x2",
       'r',
       "set.eq.f16x2.f16x2 %r0, %r1, %r2;",
       {0xC0003C00, 0x42003C00},
       0x00003C00},
      {"set.ne.u32.f16x2",
       'r',
       "set.ne.u32.f16x2 %r0, %r1, %r2;",
       {0xC0003C00, 0x42003C00},
       0xFFFF0000},
      {"set.lt.bf16x2",
       'r',
       "set.lt.bf16x2.bf16x2 %r0, %r1, %r2;",
       {0xC0003F80, 0x40403F80},
       0x3F800000},
      {"set.nan.f16x2",
       'r',
       "set.nan.f16x2.f16x2 %r0, %r1, %r2;",
       {0x7E003C00, 0x3C003C00},
       0x3C000000},
      {"set.gtu of a NaN",
       'r',
       "set.gtu.u32.f16x2 %r0, %r1, %r2;",
       {0x7E003C00, 0x3C003C00},
       0xFFFF0000},
      {"add.u16x2", 'r', "add.u16x2 %r0, %r1, %r2;", {0xFFFF0001, 0x00020003}, 0x00010004},
      {"add.s16x2", 'r', "add.s16x2 %r0, %r1, %r2;", {0x7FFF8000, 0x0001FFFF}, 0x80007FFF},
      {"min.u16x2", 'r', "min.u16x2 %r0, %r1, %r2;", {0x8000FFFF, 0x00017FFF}, 0x00017FFF},
      {"max.s16x2", 'r', "max.s16x2 %r0, %r1, %r2;", {0x8000FFFF, 0x0001FFFE}, 0x0001FFFF},
      {"min.s16x2.relu",
       'r',
       "min.s16x2.relu %r0, %r1, %r2;",
       {0x8000000A, 0x00010005},
       0x00000005},
      {"vabsdiff4",
       'r',
       "vabsdiff4.u32.u32.u32 %r0, %r1, %r2, %r3;",
       {0x10FF0005, 0x0F01FF05, 77},
       0x01FEFF00},
      {"vabsdiff4 signed",
       'r',
       "vabsdiff4.u32.s32.s32 %r0, %r1, %r2, %r3;",
       {0x80FF0005, 0x7F010005, 77},
       0xFF020000},
      {"vabsdiff4.add",
       'r',
       "vabsdiff4.u32.u32.u32.add %r0, %r1, %r2, %r3;",
       {0x10FF0005, 0x0F01FF05, 100},
       0x1FE + 100},
      {"vabsdiff2.add",
       'r',
       "vabsdiff2.u32.u32.u32.add %r0, %r1, %r2, %r3;",
       {0xFFFF0005, 0x00010002, 1},
       0xFFFE + 3 + 1},
  });
}

TEST_CASE("add, mul and fma of f32 pairs") {
  const auto pair = [](float low, float high) { return f(low) | f(high) << 32; };
  check_cases({
      {"add.f32x2",
       'R',
       "add.rn.f32x2 %rd0, %rd1, %rd2;",
       {pair(1, -2), pair(0.5F, 8)},
       pair(1.5F, 6)},
      {"mul.f32x2",
       'R',
       "mul.rn.f32x2 %rd0, %rd1, %rd2;",
       {pair(3, -2), pair(0.5F, 8)},
       pair(1.5F, -16)},
      {"fma.f32x2",
       'R',
       "fma.rn.f32x2 %rd0, %rd1, %rd2, %rd3;",
       {pair(3, -2), pair(0.5F, 8), pair(-1.5F, 1)},
       pair(0, -15)},
      {"fma.f32x2 of a NaN",
       'R',
       "fma.rn.f32x2 %rd0, %rd1, %rd2, %rd3;",
       {pair(NAN, 1), pair(1, 1), pair(1, 1)},
       0x400000007FFFFFFF},
      {"add.ftz.f32x2", 'R', "add.ftz.f32x2 %rd0, %rd1, %rd2;", {0x0000000180000001, 0}, 0},
  });
}

TEST_CASE("conversions of 64-bit integers and to and from powers of two") {
  check_cases({
      {"f16 of s64", 'h', "cvt.rn.f16.s64 %h0, %rd1;", {static_cast<std::uint64_t>(-2049)}, 0xE800},
      {"f16 of s64, up", 'h', "cvt.rp.f16.s64 %h0, %rd1;", {2049}, 0x6801},
      {"f16 of u64, beyond", 'h', "cvt.rn.f16.u64 %h0, %rd1;", {~0ull}, 0x7C00},
      // 2^62 + 2^54 is half way between two bf16; one more decides, and is lost to an f64.
      {"bf16 of s64, a tie",
       'h',
       "cvt.rn.bf16.s64 %h0, %rd1;",
       {0x4040000000000000 - (1ull << 54)},
       0x5E80},
      {"bf16 of s64, above it", 'h', "cvt.rn.bf16.s64 %h0, %rd1;", {0x4040000000000001}, 0x5E81},
      {"ue8m0x2.rp", 'h', "cvt.rp.satfinite.ue8m0x2.f32 %h0, %f1, %f2;", {f(1.5F), f(-4)}, 0x8081},
      {"ue8m0x2.rz", 'h', "cvt.rz.ue8m0x2.f32 %h0, %f1, %f2;", {f(1.5F), f(INFINITY)}, 0x7FFF},
      {"ue8m0x2.rp, ends",
       'h',
       "cvt.rp.satfinite.ue8m0x2.f32 %h0, %f1, %f2;",
       {f(INFINITY), 0x00400001},
       0xFE01},
      {"ue8m0x2 of a NaN",
       'h',
       "cvt.rp.satfinite.ue8m0x2.f32 %h0, %f1, %f2;",
       {f(NAN), 0x00400000},
       0xFF00},
      {"ue8m0x2 of bf16x2", 'h', "cvt.rp.ue8m0x2.bf16x2 %h0, %r1;", {0x3FC04000}, 0x8080},
      {"bf16x2 of ue8m0x2", 'r', "cvt.rn.bf16x2.ue8m0x2 %r0, %h1;", {0x807F}, 0x40003F80},
      {"its ends", 'r', "cvt.rn.bf16x2.ue8m0x2 %r0, %h1;", {0xFF00}, 0x7FFF0040},
      {"bf16x2 of e4m3x2", 'r', "cvt.rn.bf16x2.e4m3x2 %r0, %h1;", {0x38C4}, 0x3F80C040},
      {"f16x2.satfinite",
       'r',
       "cvt.rn.satfinite.f16x2.f32 %r0, %f1, %f2;",
       {f(1e6F), f(-1e6F)},
       0x7BFFFBFF},
      {"bf16x2.satfinite",
       'r',
       "cvt.rn.satfinite.bf16x2.f32 %r0, %f1, %f2;",
       {f(INFINITY), f(1)},
       0x7F7F3F80},
  });
}

namespace {

std::vector<std::uint32_t> run(const std::string& body, std::uint32_t words,
                               const std::string& before = "") {
  Machine machine(
      module_of("ld.param.u64 %rd1, [p0]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd2, %r1, " +
                    std::to_string(words * 4) + "; add.u64 %rd1, %rd1, %rd2;\n" + body,
                before));
  const std::uint64_t results = machine.upload(std::vector<std::uint32_t>(32 * std::size_t{words}));
  machine.launch({}, {32, 1, 1}, {results});
  return machine.download<std::uint32_t>(results, 32 * std::size_t{words});
}

}  // namespace

TEST_CASE("atom.cas and atom.exch of 128 bits") {
  const auto found = run(R"(
    mov.u64 %rd3, 1; mov.u64 %rd4, 2; mov.u64 %rd5, 7; mov.u64 %rd6, 8;
    st.global.v2.b64 [%rd1], {%rd3, %rd4};
    { .reg .b128 %a, %b, %c, %d;
    mov.b128 %a, {%rd3, %rd4}; mov.b128 %b, {%rd5, %rd6};
    atom.global.cas.b128 %c, [%rd1], %a, %b;
    atom.global.cas.b128 %d, [%rd1], %a, %a;
    mov.b128 {%rd7, %rd8}, %d; st.global.v2.b64 [%rd1+16], {%rd7, %rd8};
    atom.global.exch.b128 %c, [%rd1], %a;
    mov.b128 {%rd7, %rd8}, %c; st.global.v2.b64 [%rd1+32], {%rd7, %rd8}; })",
                         12);
  const std::vector<std::uint32_t> expected = {1, 0, 2, 0, 7, 0, 8, 0, 7, 0, 8, 0};
  for (std::size_t i = 0; i < found.size(); ++i) CHECK(found[i] == expected[i % 12]);
}

TEST_CASE("redux.sync of f32") {
  const auto found = run(R"(
    cvt.rn.f32.u32 %f1, %r1; sub.f32 %f1, %f1, 0f41A00000; setp.eq.u32 %p1, %r1, 3;
    redux.sync.min.f32 %f2, %f1, -1; redux.sync.max.abs.f32 %f3, %f1, -1;
    @%p1 mov.f32 %f1, 0f7FC00000;
    redux.sync.max.f32 %f4, %f1, -1; redux.sync.max.NaN.f32 %f5, %f1, -1;
    st.global.v4.f32 [%rd1], {%f2, %f3, %f4, %f5};)",
                         4);
  const std::uint64_t expected[] = {f(-20), f(20), f(11), 0x7FFFFFFF};
  for (std::size_t i = 0; i < found.size(); ++i) CHECK(found[i] == expected[i % 4]);
}

TEST_CASE("alloca: each call's memory goes when it returns; stacksave and stackrestore") {
  const auto found = run(R"(
    mov.u32 %r2, 0; mov.u32 %r3, 0;
    LOOP: { .param .b32 n; .param .b32 r; add.u32 %r4, %r1, 900; st.param.b32 [n], %r4;
    call (r), squares, (n); ld.param.b32 %r5, [r]; add.u32 %r2, %r2, %r5; }
    add.u32 %r3, %r3, 1; setp.lt.u32 %p1, %r3, 20; @%p1 bra LOOP;
    st.global.u32 [%rd1], %r2;
    AGAIN: stacksave.u64 %rd3; mov.u64 %rd4, 9000; alloca.u64 %rd5, %rd4, 64; st.local.u32 [%rd5+8996], %r3;
    ld.local.u32 %r6, [%rd5+8996]; and.b64 %rd6, %rd5, 63; cvt.u32.u64 %r7, %rd6; add.u32 %r6, %r6, %r7;
    stackrestore.u64 %rd3; add.u32 %r3, %r3, 1; setp.lt.u32 %p1, %r3, 30; @%p1 bra AGAIN;
    st.global.u32 [%rd1+4], %r6;)",
                         2, R"(
    .func (.param .b32 out) squares(.param .b32 count) {
    .reg .b32 %a<9>; .reg .b64 %b<9>; .reg .pred %q;
    ld.param.b32 %a1, [count]; mul.wide.u32 %b1, %a1, 4; alloca.u64 %b2, %b1; mov.u32 %a2, 0;
    FILL: mul.lo.u32 %a3, %a2, %a2; mul.wide.u32 %b3, %a2, 4; add.u64 %b3, %b2, %b3; st.local.u32 [%b3], %a3;
    add.u32 %a2, %a2, 1; setp.lt.u32 %q, %a2, %a1; @%q bra FILL;
    mov.u32 %a4, 0;
    SUM: sub.u32 %a2, %a2, 1; mul.wide.u32 %b3, %a2, 4; add.u64 %b3, %b2, %b3; ld.local.u32 %a3, [%b3];
    add.u32 %a4, %a4, %a3; setp.gt.u32 %q, %a2, 0; @%q bra SUM;
    st.param.b32 [out], %a4; ret; })");
  for (std::uint32_t t = 0; t < 32; ++t) {
    const std::uint32_t n = t + 900;
    CHECK(found[2 * t] == 20 * ((n - 1) * n * (2 * n - 1) / 6));
    CHECK(found[2 * t + 1] == 29);
  }
}

TEST_CASE("alloca of more than the stack") {
  const Ending ending = load_and_launch(
      module_of("mov.u64 %rd4, 16400; alloca.u64 %rd5, %rd4, 64; st.local.u32 [%rd5], 1;"), {}, {});
  CHECK(ending.code == CUDA_ERROR_HARDWARE_STACK_ERROR);
  CHECK(ending.message.find("16400 bytes are more than is left") != std::string::npos);
}

TEST_CASE("isspacep of every space") {
  const auto found = run(R"(
    .local .align 4 .b32 l; .shared .align 4 .b32 s; .reg .b64 %a<5>;
    mov.u64 %a0, %rd1; mov.u64 %a1, s; cvta.shared.u64 %a1, %a1; mov.u64 %a2, l; cvta.local.u64 %a2, %a2;
    mov.u64 %a3, c; cvta.const.u64 %a3, %a3; mov.u64 %a4, p1; cvta.param.u64 %a4, %a4;
    mov.u32 %r2, 0;
    isspacep.global %p1, %a0; @%p1 or.b32 %r2, %r2, 1; isspacep.shared %p1, %a1; @%p1 or.b32 %r2, %r2, 2;
    isspacep.local %p1, %a2; @%p1 or.b32 %r2, %r2, 4; isspacep.const %p1, %a3; @%p1 or.b32 %r2, %r2, 8;
    isspacep.param %p1, %a4; @%p1 or.b32 %r2, %r2, 16; isspacep.global %p1, %a3; @%p1 or.b32 %r2, %r2, 32;
    isspacep.const %p1, %a0; @%p1 or.b32 %r2, %r2, 64; isspacep.global %p1, %a4; @%p1 or.b32 %r2, %r2, 128;
    st.global.u32 [%rd1], %r2;)",
                         1, ".const .align 4 .b32 c[4] = {1, 2, 3, 4};");
  for (const std::uint32_t word : found) CHECK(word == 31);
}

namespace {

// wmma of integers small enough that every type holds them and their sums exactly.
template <typename T>
void check_wmma(const char* shape, int m, int n, int k, const char* type, const char* mma_types,
                int a_registers, int b_registers, bool half_accumulator, T (*encode)(int)) {
  std::mt19937 random(static_cast<unsigned>(m * 7 + k));
  for (const bool a_column : {false, true}) {
    for (const bool b_column : {false, true}) {
      const auto draw = [&](int count) {
        std::vector<int> values;
        for (int i = 0; i < count; ++i) values.push_back(static_cast<int>(random() % 8));
        return values;
      };
      const std::vector<int> a = draw(m * k), b = draw(k * n), c = draw(m * n);
      const int a_stride = (a_column ? m : k) + 8, b_stride = (b_column ? k : n) + 8;
      std::vector<T> a_memory(static_cast<std::size_t>(a_stride * (a_column ? k : m)));
      std::vector<T> b_memory(static_cast<std::size_t>(b_stride * (b_column ? n : k)));
      for (int i = 0; i < m * k; ++i) {
        const int row = i / k, column = i % k;
        a_memory[static_cast<std::size_t>(a_column ? column * a_stride + row
                                                   : row * a_stride + column)] =
            encode(a[static_cast<std::size_t>(i)]);
      }
      for (int i = 0; i < k * n; ++i) {
        const int row = i / n, column = i % n;
        b_memory[static_cast<std::size_t>(b_column ? column * b_stride + row
                                                   : row * b_stride + column)] =
            encode(b[static_cast<std::size_t>(i)]);
      }
      const bool integer = std::string(type) == "s8" || std::string(type) == "u8";
      const char* d_type = half_accumulator ? "f16" : integer ? "s32" : "f32";
      const auto list = [](char kind, int first, int count) {
        std::string text = "{";
        for (int i = 0; i < count; ++i) {
          text += (i == 0 ? "%" : ", %") + std::string(1, kind) + std::to_string(first + i);
        }
        return text + "}";
      };
      const int d_registers = half_accumulator ? 4 : 8;
      const char kind = half_accumulator || integer ? 'r' : 'f';
      const std::string rows[] = {"row", "col"}, suffix = std::string(".") + shape + ".global.";
      const std::string a_list = list('r', 10, a_registers), b_list = list('r', 20, b_registers),
                        c_list = list(kind, 30, d_registers);
      const std::string body =
          "ld.param.u64 %rd1, [p0]; ld.param.u64 %rd2, [p1]; ld.param.u64 %rd3, [p2];\n"
          "wmma.load.a.sync.aligned." +
          rows[a_column] + suffix + type + " " + a_list + ", [%rd1], " + std::to_string(a_stride) +
          ";\nwmma.load.b.sync.aligned." + rows[b_column] + suffix + type + " " + b_list +
          ", [%rd2], " + std::to_string(b_stride) + ";\nwmma.load.c.sync.aligned.col" + suffix +
          d_type + " " + c_list + ", [%rd3];\n" + "wmma.mma.sync.aligned." + rows[a_column] + "." +
          rows[b_column] + "." + shape + "." + mma_types + " " + c_list + ", " + a_list + ", " +
          b_list + ", " + c_list + ";\nwmma.store.d.sync.aligned.row" + suffix + d_type +
          " [%rd3], " + c_list + ";\n";
      Machine machine(module_of(body));
      const auto halves = [&](const std::vector<int>& values) {
        std::vector<std::uint16_t> bits;
        for (const int value : values) {
          const float wide = static_cast<float>(value);
          bits.push_back(std::bit_cast<std::uint16_t>(static_cast<_Float16>(wide)));
        }
        return bits;
      };
      const auto at = [](int index) { return static_cast<std::size_t>(index); };
      std::vector<int> c_columns(c.size());
      for (int i = 0; i < m * n; ++i) {
        c_columns[at(i % n * m + i / n)] = c[at(i)];
      }
      std::vector<std::uint32_t> c_words;
      for (const int value : c_columns) {
        c_words.push_back(integer ? static_cast<std::uint32_t>(value)
                                  : static_cast<std::uint32_t>(f(static_cast<float>(value))));
      }
      const std::uint64_t result =
          half_accumulator ? machine.upload(halves(c_columns)) : machine.upload(c_words);
      machine.launch({}, {32, 1, 1}, {machine.upload(a_memory), machine.upload(b_memory), result});
      std::vector<int> expected;
      for (int i = 0; i < m * n; ++i) {
        int sum = c[at(i)];
        for (int x = 0; x < k; ++x) {
          sum += a[at(i / n * k + x)] * b[at(x * n + i % n)];
        }
        expected.push_back(sum);
      }
      CAPTURE(body);
      if (half_accumulator) {
        CHECK(machine.download<std::uint16_t>(result, expected.size()) == halves(expected));
      } else {
        std::vector<std::uint32_t> words;
        for (const int value : expected) {
          words.push_back(integer ? static_cast<std::uint32_t>(value)
                                  : static_cast<std::uint32_t>(f(static_cast<float>(value))));
        }
        CHECK(machine.download<std::uint32_t>(result, expected.size()) == words);
      }
    }
  }
}

std::uint16_t to_f16(int value) {
  return std::bit_cast<std::uint16_t>(static_cast<_Float16>(value));
}
std::uint16_t to_bf16(int value) {
  return static_cast<std::uint16_t>(f(static_cast<float>(value)) >> 16);
}
std::uint8_t to_byte(int value) { return static_cast<std::uint8_t>(value); }
float to_tf32(int value) { return static_cast<float>(value); }

}  // namespace

TEST_CASE("wmma: every shape, layout and type") {
  const struct {
    const char* name;
    int m, n;
  } shapes[] = {{"m16n16k16", 16, 16}, {"m32n8k16", 32, 8}, {"m8n32k16", 8, 32}};
  for (const auto& [name, m, n] : shapes) {
    check_wmma<std::uint16_t>(name, m, n, 16, "f16", "f32.f32", 8, 8, false, to_f16);
    check_wmma<std::uint16_t>(name, m, n, 16, "f16", "f16.f16", 8, 8, true, to_f16);
    check_wmma<std::uint16_t>(name, m, n, 16, "bf16", "f32.bf16.bf16.f32", m / 4, n / 4, false,
                              to_bf16);
    check_wmma<std::uint8_t>(name, m, n, 16, "s8", "s32.s8.s8.s32", m / 8, n / 8, false, to_byte);
    check_wmma<std::uint8_t>(name, m, n, 16, "u8", "s32.u8.u8.s32", m / 8, n / 8, false, to_byte);
  }
  check_wmma<float>("m16n16k8", 16, 16, 8, "tf32", "f32.tf32.tf32.f32", 4, 4, false, to_tf32);
}

TEST_CASE("integer matrices that saturate") {
  // All of A and B are 100, so that a product is 16 * 10^4; C is at either end or in the middle.
  const auto found = run(R"(
    mov.u32 %r10, 0x64646464; mov.u32 %r20, 0x7FFFFF00; mov.u32 %r21, 0x80000000; mov.u32 %r22, 5;
    mov.u32 %r23, 0x7FFD8EFF;
    mma.sync.aligned.m16n8k16.row.col.satfinite.s32.s8.s8.s32 {%r30, %r31, %r32, %r33}, {%r10, %r10},
      {%r10}, {%r20, %r21, %r22, %r23};
    st.global.v4.u32 [%rd1], {%r30, %r31, %r32, %r33};
    wmma.mma.sync.aligned.row.col.m16n16k16.s32.s8.s8.s32.satfinite
      {%r30, %r31, %r32, %r33, %r34, %r35, %r36, %r37}, {%r10, %r10}, {%r10, %r10},
      {%r22, %r22, %r22, %r22, %r20, %r21, %r22, %r23};
    st.global.v4.u32 [%rd1+16], {%r34, %r35, %r36, %r37};)",
                         8);
  const std::uint32_t expected[] = {0x7FFFFFFF, 0x80000000 + 160000, 160005, 0x7FFFFFFF};
  for (std::size_t i = 0; i < found.size(); ++i) CHECK(found[i] == expected[i % 4]);
}

TEST_CASE("the largest grid of blocks that end at once starts at once and stops when told to") {
  setenv("OCTAVO_EMULATOR_TIMEOUT", "0.2", 1);
  const Ending ending = load_and_launch(module_of(""), {0x7FFFFFFF, 1, 1}, {});
  unsetenv("OCTAVO_EMULATOR_TIMEOUT");
  CHECK(ending.code == CUDA_ERROR_LAUNCH_FAILED);
  CHECK(ending.message.find("longer than OCTAVO_EMULATOR_TIMEOUT") != std::string::npos);
}
