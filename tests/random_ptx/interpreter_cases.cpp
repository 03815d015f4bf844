// The interpreter itself, by programs whose results are worked out by hand.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstring>
#include <string>
#include <vector>

#include "fault.hpp"
#include "generator.hpp"
#include "interpreter.hpp"
#include "ptx/parser.hpp"

namespace octavo::emulator::random_ptx {
namespace {

// Runs `body` in one block of 64 threads; each gives its %r0 (or what it is at the end).
std::vector<std::uint32_t> results_of(const std::string& body) {
  const std::string text = fmt::format(R"(
.version 8.0
.target sm_90
.address_size 64
.func (.param .b32 result) factorial(.param .b32 n)
{{
  .reg .b32 %r<4>; .reg .pred %p;
  ld.param.b32 %r1, [n]; mov.b32 %r2, 1; setp.lt.u32 %p, %r1, 2; @%p bra END;
  sub.u32 %r2, %r1, 1;
  {{ .param .b32 n; .param .b32 result; st.param.b32 [n], %r2; call (result), factorial, (n);
     ld.param.b32 %r2, [result]; }}
  mul.lo.u32 %r2, %r2, %r1;
END:
  st.param.b32 [result], %r2; ret;
}}
.func (.param .b32 result) twice(.param .b32 n)
{{
  .reg .b32 %r; ld.param.b32 %r, [n]; add.u32 %r, %r, %r; st.param.b32 [result], %r; ret;
}}
.visible .entry k(.param .u64 out)
{{
  .reg .b32 %r<8>; .reg .f32 %f<4>; .reg .b64 %q<4>; .reg .b16 %h<4>; .reg .pred %p<4>;
  .reg .b32 %index, %lane; .reg .b64 %out;
  .param .b32 n, got; .local .align 8 .b8 own[16];
  prototype: .callprototype (.param .b32 _) _ (.param .b32 _);
  .shared .align 4 .b8 smem[256];
  mov.u32 %index, %tid.x;
  and.b32 %lane, %index, 31;
  {}
END:
  ld.param.u64 %out, [out];
  mad.wide.u32 %out, %index, 4, %out;
  st.global.u32 [%out], %r0;
  ret;
}})",
                                       body);
  std::vector<std::uint32_t> results(64, 0xDEADBEEF);
  const std::uint32_t* address = results.data();
  std::byte parameters[8];
  std::memcpy(parameters, &address, 8);
  interpret(ptx::parse(text), "k", {}, {64, 1, 1}, parameters);
  return results;
}

std::uint32_t result_of(const std::string& body) { return results_of(body)[5]; }

TEST_CASE("integers") {
  CHECK(result_of("mov.u32 %r1, -7; mul.hi.s32 %r0, %r1, 3;") == 0xFFFFFFFF);
  CHECK(result_of("mov.u32 %r1, -7; mul.hi.u32 %r0, %r1, 3;") == 2);
  CHECK(result_of("mov.u32 %r1, -7; shr.s32 %r0, %r1, 40;") == 0xFFFFFFFF);
  CHECK(result_of("mov.u32 %r1, -7; shr.u32 %r0, %r1, 40;") == 0);
  CHECK(result_of("mov.u32 %r1, 0x7FFFFFFF; add.sat.s32 %r0, %r1, 5;") == 0x7FFFFFFF);
  CHECK(result_of("mov.u32 %r1, 0xABCD; bfe.s32 %r0, %r1, 4, 8;") == 0xFFFFFFBC);
  CHECK(result_of("mov.u32 %r1, 0xABCD; bfe.u32 %r0, %r1, 4, 8;") == 0xBC);
  CHECK(result_of("mov.u32 %r1, 0xABCD; mov.u32 %r2, 0xF; bfi.b32 %r0, %r2, %r1, 8, 4;") == 0xAFCD);
  CHECK(result_of("mov.u32 %r1, 0x03020100; mov.u32 %r2, 0x07060584;"
                  "prmt.b32 %r0, %r1, %r2, 0xC714;") == 0xFF070184);
  CHECK(result_of("mov.u32 %r1, 0xF0; bfind.u32 %r0, %r1;") == 7);
  CHECK(result_of("mov.u32 %r1, -1; bfind.s32 %r0, %r1;") == 0xFFFFFFFF);
  CHECK(result_of("mov.u32 %r1, 0x12345678; mov.u32 %r2, 0x9ABCDEF0;"
                  "shf.l.wrap.b32 %r0, %r1, %r2, 8;") == 0xBCDEF012);
  CHECK(result_of("mov.b16 %h0, -3; cvt.s32.s16 %r0, %h0;") == 0xFFFFFFFD);
  CHECK(result_of("mov.u32 %r1, 300; cvt.sat.u8.s32 %r0, %r1;") == 255);
}

TEST_CASE("floats") {
  CHECK(result_of("mov.f32 %f0, 0f3F800000; add.rz.f32 %f0, %f0, 0fB3000000;"
                  "mov.b32 %r0, %f0;") == 0x3F7FFFFF);
  CHECK(result_of("mov.f32 %f0, 0fBFC00000; cvt.rni.s32.f32 %r0, %f0;") == 0xFFFFFFFE);
  CHECK(result_of("mov.f32 %f0, 0fBFC00000; cvt.rzi.u32.f32 %r0, %f0;") == 0);
  CHECK(result_of("mov.f32 %f0, 0f7FC00000; cvt.rzi.s32.f32 %r0, %f0;") == 0);
  CHECK(result_of("mov.f32 %f0, 0f7F800000; cvt.rzi.s32.f32 %r0, %f0;") == 0x7FFFFFFF);
  CHECK(result_of("mov.f32 %f0, 0f00000001; mul.ftz.f32 %f0, %f0, 0f4F000000;"
                  "mov.b32 %r0, %f0;") == 0);
  CHECK(result_of("mov.f32 %f0, 0f477FF000; cvt.rn.f16.f32 %h0, %f0; cvt.u32.u16 %r0, %h0;") ==
        0x7C00);
  CHECK(result_of("mov.f32 %f0, 0f33000000; cvt.rn.f16.f32 %h0, %f0; cvt.u32.u16 %r0, %h0;") == 0);
  CHECK(result_of("mov.f32 %f0, 0f33000001; cvt.rn.f16.f32 %h0, %f0; cvt.u32.u16 %r0, %h0;") == 1);
  CHECK(result_of("mov.f32 %f0, 0f7FC00000; min.f32 %f0, %f0, 0f40000000;"
                  "mov.b32 %r0, %f0;") == 0x40000000);
}

TEST_CASE("pairs of halves") {
  const auto of = [](const char* a, const char* b, const char* instruction) {
    return result_of(fmt::format("mov.b32 %r1, {}; mov.b32 %r2, {}; {}", a, b, instruction));
  };
  // 1, 2 and 0.5, -3
  CHECK(of("0x40003C00", "0xC2003800", "add.rn.f16x2 %r0, %r1, %r2;") == 0xBC003E00);
  CHECK(of("0x40003C00", "0xC2003800", "fma.rn.relu.f16x2 %r0, %r1, %r2, %r1;") == 0x00003E00);
  CHECK(of("0x40003C00", "0xC2007FFF", "min.f16x2 %r0, %r1, %r2;") == 0xC2003C00);
  CHECK(of("0x40003C00", "0xC2007FFF", "min.NaN.f16x2 %r0, %r1, %r2;") == 0xC2007FFF);
  // 1 + 2^-11 + 2^-21 is past half way to the next, 2 + 2^-10 is half way.
  CHECK(of("0x10013C01", "0x3C003C00",
           "mov.b32 %r3, 0x3C003C00; fma.rn.f16x2 %r0, %r1, %r2, %r3;") == 0x3C014000);
  // 7 * 37/256 is half way between two of bf16; 2^-100 more and 2^-100 less are not.
  CHECK(of("0x40E040E0", "0x3E143E14",
           "mov.b32 %r3, 0x0D808D80; fma.rn.bf16x2 %r0, %r1, %r2, %r3;") == 0x3F823F81);
  // Of bf16: 2^100 + 2^-100
  CHECK(of("0x71807180", "0x0D808D80", "add.rn.bf16x2 %r0, %r1, %r2;") == 0x71807180);
  CHECK(of("0x40003C00", "0xC2003C00",
           "setp.gt.f16x2 %p0|%p1, %r1, %r2; selp.b32 %r0, 1, 0, %p0; @%p1 add.u32 %r0, %r0, 2;") ==
        2);
  CHECK(result_of("mov.f32 %f0, 0f3F800000; mov.f32 %f1, 0fC0000000; cvt.rn.f16x2.f32 %r0, %f0, "
                  "%f1;") == 0x3C00C000);
}

TEST_CASE("local memory and calls") {
  CHECK(result_of("st.local.b32 [own+4], %index; mov.u64 %q0, own; ld.local.u8 %r0, [%q0+4];") ==
        5);
  CHECK(result_of("mov.u64 %q0, own; cvta.local.u64 %q0, %q0; st.v2.b16 [%q0+8], {1, 2};"
                  "ld.local.b32 %r0, [own+8];") == 0x20001);
  const auto factorials = results_of(
      "and.b32 %r1, %lane, 7; st.param.b32 [n], %r1; call (got), factorial, (n);"
      "ld.param.b32 %r0, [got];");
  CHECK(factorials[7] == 5040);
  CHECK(factorials[35] == 6);
  const auto either = results_of(
      "mov.u64 %q0, factorial; setp.lt.u32 %p0, %lane, 9; @%p0 mov.u64 %q0, twice;"
      "st.param.b32 [n], %lane; call (got), %q0, (n), prototype; ld.param.b32 %r0, [got];");
  CHECK(either[8] == 16);
  CHECK(either[10] == 3628800);
}

TEST_CASE("divergence, shared memory and warps") {
  const auto loop = results_of(
      "mov.u32 %r0, 0; mov.u32 %r1, %index;"
      "L: setp.eq.u32 %p0, %r1, 0; @%p0 bra END; add.u32 %r0, %r0, %r1; sub.u32 %r1, %r1, 1; bra "
      "L;");
  CHECK(loop[0] == 0);
  CHECK(loop[10] == 55);
  const auto reversed = results_of(
      "mov.u32 %r1, smem; mad.lo.u32 %r2, %index, 4, %r1; st.shared.u32 [%r2], %index; bar.sync 0;"
      "xor.b32 %r3, %index, 63; mad.lo.u32 %r2, %r3, 4, %r1; ld.shared.u32 %r0, [%r2];");
  CHECK(reversed[3] == 60);
  CHECK(results_of("shfl.sync.up.b32 %r0, %index, 2, 0, -1;")[35] == 33);
  CHECK(results_of("shfl.sync.up.b32 %r0, %index, 2, 0, -1;")[33] == 33);
  CHECK(results_of(
            "shfl.sync.down.b32 %r0|%p0, %index, 2, 31, -1; selp.u32 %r0, %r0, 99, %p0;")[31] ==
        99);
  CHECK(results_of("setp.lt.u32 %p0, %lane, 4; vote.sync.ballot.b32 %r0, %p0, -1;")[40] == 15);
  CHECK(results_of("redux.sync.add.u32 %r0, %lane, -1;")[7] == 496);
  // Odd lanes sum theirs while even ones go by.
  const auto odd = results_of(
      "mov.u32 %r0, 1; and.b32 %r1, %lane, 1; setp.eq.u32 %p0, %r1, 0; @%p0 bra END;"
      "redux.sync.add.u32 %r0, %lane, 0xAAAAAAAA;");
  CHECK(odd[9] == 256);
  CHECK(odd[8] == 1);
}

TEST_CASE("a deadlock and an endless loop are faults") {
  CHECK_THROWS_AS(results_of("setp.lt.u32 %p0, %index, 4; @%p0 bra END; bar.warp.sync 0xFFFFFFFF;"
                             "shfl.sync.up.b32 %r0, %index, 1, 0, 3; L: bra L;"),
                  Fault);
  CHECK_THROWS_AS(results_of("L: bra L;"), Fault);
  CHECK_THROWS_AS(results_of("fantasy.u32 %r0, %index;"), Fault);
}

TEST_CASE("generated programs parse, end, and differ") {
  CHECK(generate(1).ptx == generate(1).ptx);
  CHECK(generate(1).ptx != generate(2).ptx);
}

}  // namespace
}  // namespace octavo::emulator::random_ptx
