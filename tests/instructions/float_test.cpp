// Floating-point arithmetic, comparison and conversion.
#include <doctest/doctest.h>

#include <cmath>

#include "harness.hpp"

using namespace octavo::emulator::test;

namespace {
constexpr std::uint64_t kNan = 0x7FFFFFFF;  // the canonical one
const float kInfinity = INFINITY;
}  // namespace

TEST_CASE("f32 and f64 arithmetic") {
  check_cases({
      {"add.f32", 'f', "add.f32 %f0, %f1, %f2;", {f(1.5f), f(2.25f)}, f(3.75f)},
      {"add.f32 NaN", 'f', "add.f32 %f0, %f1, %f2;", {f(kInfinity), f(-kInfinity)}, kNan},
      {"add.f32 NaN payload", 'f', "add.f32 %f0, %f1, %f2;", {0xFFC12345, f(1)}, kNan},
      {"add.rz.f32", 'f', "add.rz.f32 %f0, %f1, %f2;", {f(1), f(0x1.8p-24f)}, f(1)},
      {"add.rn.f32", 'f', "add.rn.f32 %f0, %f1, %f2;", {f(1), f(0x1.8p-24f)}, f(0x1.000002p0f)},
      {"add.rp.f32", 'f', "add.rp.f32 %f0, %f1, %f2;", {f(1), f(0x1p-30f)}, f(0x1.000002p0f)},
      {"sub.rm.f32", 'f', "sub.rm.f32 %f0, %f1, %f2;", {f(1), f(0x1p-30f)}, f(0x1.fffffep-1f)},
      {"add.ftz.f32", 'f', "add.ftz.f32 %f0, %f1, %f2;", {1, f(0)}, 0},
      {"add.f32 subnormal", 'f', "add.f32 %f0, %f1, %f2;", {1, 1}, 2},
      {"mul.ftz.f32 result", 'f', "mul.ftz.f32 %f0, %f1, %f2;", {f(-0x1p-100f), f(0x1p-40f)}, 0x80000000},
      {"add.sat.f32", 'f', "add.sat.f32 %f0, %f1, %f2;", {f(1), f(1)}, f(1)},
      {"mul.sat.f32 NaN", 'f', "mul.sat.f32 %f0, %f1, %f2;", {f(kInfinity), f(0)}, 0},
      {"fma.rn.f32 is fused", 'f', "fma.rn.f32 %f0, %f1, %f2, %f3;",
       {f(0x1.000002p0f), f(0x1.000002p0f), f(-0x1.000004p0f)}, f(0x1p-46f)},
      {"fma.rz.f32", 'f', "fma.rz.f32 %f0, %f1, %f2, %f3;", {f(1), f(-1), f(0x1p-40f)}, f(-0x1.fffffep-1f)},
      {"mad.rn.f32", 'f', "mad.rn.f32 %f0, %f1, %f2, %f3;", {f(2), f(3), f(4)}, f(10)},
      {"div.rn.f32", 'f', "div.rn.f32 %f0, %f1, %f2;", {f(1), f(3)}, f(1.0f / 3.0f)},
      {"div.rz.f32", 'f', "div.rz.f32 %f0, %f1, %f2;", {f(2), f(3)}, f(0x1.555554p-1f)},
      {"rcp.rn.f32", 'f', "rcp.rn.f32 %f0, %f1;", {f(3)}, f(1.0f / 3.0f)},
      {"sqrt.rn.f32", 'f', "sqrt.rn.f32 %f0, %f1;", {f(2)}, f(std::sqrt(2.0f))},
      {"sqrt.rp.f32", 'f', "sqrt.rp.f32 %f0, %f1;", {f(2)}, f(0x1.6a09e8p0f)},
      {"ex2.approx.ftz.f32", 'f', "ex2.approx.ftz.f32 %f0, %f1;", {f(-3)}, f(0.125f)},
      {"lg2.approx.f32", 'f', "lg2.approx.f32 %f0, %f1;", {f(8)}, f(3)},
      {"min.f32 NaN", 'f', "min.f32 %f0, %f1, %f2;", {kNan, f(2)}, f(2)},
      {"min.f32 two NaN", 'f', "min.f32 %f0, %f1, %f2;", {0x7F800001, 0xFFC00000}, kNan},
      {"min.NaN.f32", 'f', "min.NaN.f32 %f0, %f1, %f2;", {f(2), 0x7FC00001}, kNan},
      {"min.f32 zeros", 'f', "min.f32 %f0, %f1, %f2;", {f(0.0f), f(-0.0f)}, f(-0.0f)},
      {"max.f32 zeros", 'f', "max.f32 %f0, %f1, %f2;", {f(-0.0f), f(0.0f)}, f(0.0f)},
      {"max.xorsign.abs.f32", 'f', "max.xorsign.abs.f32 %f0, %f1, %f2;", {f(-2), f(1)}, f(-2)},
      {"abs.ftz.f32", 'f', "abs.ftz.f32 %f0, %f1;", {0x80000001}, 0},
      {"neg.f32", 'f', "neg.f32 %f0, %f1;", {f(0.0f)}, f(-0.0f)},
      {"copysign.f32", 'f', "copysign.f32 %f0, %f1, %f2;", {f(-1), f(7)}, f(-7)},
      {"testp.subnormal", 'p', "testp.subnormal.f32 %p0, %f1;", {1}, 1},
      {"add.f64", 'd', "add.f64 %d0, %d1, %d2;", {d(0.1), d(0.2)}, d(0.1 + 0.2)},
      {"fma.rn.f64", 'd', "fma.rn.f64 %d0, %d1, %d2, %d3;", {d(0.1), d(10), d(-1)}, d(std::fma(0.1, 10.0, -1.0))},
      {"div.rn.f64", 'd', "div.rn.f64 %d0, %d1, %d2;", {d(1), d(3)}, d(1.0 / 3.0)},
      {"sqrt.rn.f64", 'd', "sqrt.rn.f64 %d0, %d1;", {d(2)}, d(std::sqrt(2.0))},
  });
}

TEST_CASE("16-bit arithmetic") {
  check_cases({
      {"add.f16", 'h', "add.f16 %h0, %h1, %h2;", {0x3C00, 0x4000}, 0x4200},
      {"mul.f16 rounds", 'h', "mul.f16 %h0, %h1, %h2;", {0x3C01, 0x3C01}, 0x3C02},
      {"fma.rn.f16 is fused", 'h', "fma.rn.f16 %h0, %h1, %h2, %h3;", {0x3C01, 0x3C01, 0xBC02}, 0x0010},
      {"fma.rn.f16 rounds once", 'h', "fma.rn.f16 %h0, %h1, %h2, %h3;", {0x6800, 0x3C01, 0x0001}, 0x6801},
      {"fma.rn.relu.f16", 'h', "fma.rn.relu.f16 %h0, %h1, %h2, %h3;", {0x3C00, 0xBC00, 0}, 0},
      {"add.f16x2", 'r', "add.f16x2 %r0, %r1, %r2;", {0x3C004000, 0x3C003C00}, 0x40004200},
      {"sub.bf16x2", 'r', "sub.bf16x2 %r0, %r1, %r2;", {0x3F804000, 0x3F803F80}, 0x00003F80},
      {"mul.bf16", 'h', "mul.bf16 %h0, %h1, %h2;", {0x4000, 0x4040}, 0x40C0},
      {"fma.rn.bf16x2", 'r', "fma.rn.bf16x2 %r0, %r1, %r2, %r3;", {0x40003F80, 0x40003F80, 0x3F803F80}, 0x40A04000},
      {"max.f16x2", 'r', "max.f16x2 %r0, %r1, %r2;", {0x7E003C00, 0x40004000}, 0x40004000},
      {"min.NaN.bf16", 'h', "min.NaN.bf16 %h0, %h1, %h2;", {0x7FC0, 0x3F80}, 0x7FFF},
      {"neg.f16x2", 'r', "neg.f16x2 %r0, %r1;", {0x3C008000}, 0xBC000000},
      {"abs.bf16", 'h', "abs.bf16 %h0, %h1;", {0xBF80}, 0x3F80},
      {"ex2.approx.f16x2", 'r', "ex2.approx.f16x2 %r0, %r1;", {0x4000BC00}, 0x44003800},
      {"setp.lt.f16", 'p', "setp.lt.f16 %p0, %h1, %h2;", {0xBC00, 0x3C00}, 1},
      {"setp.gt.f16x2", 'p', "setp.gt.f16x2 %p1|%p0, %r1, %r2;", {0x40003C00, 0x3C004000}, 1},
  });
}

TEST_CASE("comparison and selection") {
  check_cases({
      {"setp.lt.s32", 'p', "setp.lt.s32 %p0, %r1, %r2;", {0xFFFFFFFF, 0}, 1},
      {"setp.lt.u32", 'p', "setp.lt.u32 %p0, %r1, %r2;", {0xFFFFFFFF, 0}, 0},
      {"setp.hi.u32", 'p', "setp.hi.u32 %p0, %r1, %r2;", {0xFFFFFFFF, 0}, 1},
      {"setp.ne.f32 NaN", 'p', "setp.ne.f32 %p0, %f1, %f2;", {kNan, f(1)}, 0},
      {"setp.neu.f32 NaN", 'p', "setp.neu.f32 %p0, %f1, %f2;", {kNan, f(1)}, 1},
      {"setp.nan.f64", 'p', "setp.nan.f64 %p0, %d1, %d2;", {d(NAN), d(1)}, 1},
      {"setp.and", 'p', "setp.eq.u32 %p1, %r3, 0; setp.lt.and.s32 %p0, %r1, %r2, !%p1;", {1, 2, 0}, 0},
      {"setp's second", 'p', "setp.lt.s32 %p1|%p0, %r1, %r2;", {1, 2}, 0},
      {"set.lt.u32.s32", 'r', "set.lt.u32.s32 %r0, %r1, %r2;", {1, 2}, 0xFFFFFFFF},
      {"set.gt.f32.f32", 'f', "set.gt.f32.f32 %f0, %f1, %f2;", {f(2), f(1)}, f(1)},
      {"selp.f32", 'f', "setp.eq.u32 %p1, %r3, 0; selp.f32 %f0, %f1, %f2, %p1;", {f(1), f(2), 1}, f(2)},
      {"slct.s32.s32", 'r', "slct.s32.s32 %r0, %r1, %r2, %r3;", {5, 6, 0xFFFFFFFF}, 6},
      {"slct.u32.f32", 'r', "slct.u32.f32 %r0, %r1, %r2, %f3;", {5, 6, f(-0.0f)}, 5},
  });
}

TEST_CASE("conversion") {
  check_cases({
      {"cvt.s32.s8", 'r', "cvt.s32.s8 %r0, %r1;", {0x1FF}, 0xFFFFFFFF},
      {"cvt.u32.u8", 'r', "cvt.u32.u8 %r0, %r1;", {0x1FF}, 0xFF},
      {"cvt.sat.u8.s32", 'r', "cvt.sat.u8.s32 %r0, %r1;", {0xFFFFFFFF}, 0},
      {"cvt.sat.s8.s32", 'r', "cvt.sat.s8.s32 %r0, %r1;", {200}, 127},
      {"cvt.sat.u16.s64", 'h', "cvt.sat.u16.s64 %h0, %rd1;", {70000}, 65535},
      {"cvt.s64.s32", 'R', "cvt.s64.s32 %rd0, %r1;", {0xFFFFFFFF}, ~0ull},
      {"cvt.rn.f32.s32", 'f', "cvt.rn.f32.s32 %f0, %r1;", {0x7FFFFFFF}, f(0x1p31f)},
      {"cvt.rz.f32.s32", 'f', "cvt.rz.f32.s32 %f0, %r1;", {0x7FFFFFFF}, f(0x1.fffffep30f)},
      {"cvt.rn.f32.u32", 'f', "cvt.rn.f32.u32 %f0, %r1;", {0xFFFFFFFF}, f(0x1p32f)},
      {"cvt.rn.f32.u64", 'f', "cvt.rn.f32.u64 %f0, %rd1;", {~0ull}, f(0x1p64f)},
      {"cvt.rn.f64.u32", 'd', "cvt.rn.f64.u32 %d0, %r1;", {0xFFFFFFFF}, d(4294967295.0)},
      {"cvt.rzi.s32.f32", 'r', "cvt.rzi.s32.f32 %r0, %f1;", {f(-2.7f)}, 0xFFFFFFFE},
      {"cvt.rni.s32.f32", 'r', "cvt.rni.s32.f32 %r0, %f1;", {f(2.5f)}, 2},
      {"cvt.rpi.u32.f32", 'r', "cvt.rpi.u32.f32 %r0, %f1;", {f(2.1f)}, 3},
      {"cvt.rzi.s32.f32 clamps", 'r', "cvt.rzi.s32.f32 %r0, %f1;", {f(1e20f)}, 0x7FFFFFFF},
      {"cvt.rzi.u32.f32 clamps", 'r', "cvt.rzi.u32.f32 %r0, %f1;", {f(-5)}, 0},
      {"cvt.rzi.s32.f32 NaN", 'r', "cvt.rzi.s32.f32 %r0, %f1;", {kNan}, 0},
      {"cvt.rzi.s64.f32 NaN", 'R', "cvt.rzi.s64.f32 %rd0, %f1;", {kNan}, 1ull << 63},
      {"cvt.rzi.u64.f64", 'R', "cvt.rzi.u64.f64 %rd0, %d1;", {d(0x1p63)}, 1ull << 63},
      {"cvt.rzi.u16.f32", 'h', "cvt.rzi.u16.f32 %h0, %f1;", {f(70000)}, 65535},
      {"cvt.rmi.f32.f32", 'f', "cvt.rmi.f32.f32 %f0, %f1;", {f(-2.5f)}, f(-3)},
      {"cvt.rn.f32.f64", 'f', "cvt.rn.f32.f64 %f0, %d1;", {d(0.1)}, f(0.1f)},
      {"cvt.rp.f32.f64", 'f', "cvt.rp.f32.f64 %f0, %d1;", {d(1 + 0x1p-40)}, f(0x1.000002p0f)},
      {"cvt.f64.f32", 'd', "cvt.f64.f32 %d0, %f1;", {f(0.1f)}, d(0.1f)},
      {"cvt.sat.f32.f32", 'f', "cvt.sat.f32.f32 %f0, %f1;", {f(1.5f)}, f(1)},
      {"cvt.ftz.f32.f32", 'f', "cvt.ftz.f32.f32 %f0, %f1;", {0x80000001}, 0x80000000},
      {"cvt.rn.f16.f32", 'h', "cvt.rn.f16.f32 %h0, %f1;", {f(1.0f + 0x1p-11f)}, 0x3C00},
      {"cvt.rn.f16.f32 subnormal", 'h', "cvt.rn.f16.f32 %h0, %f1;", {f(0x1.8p-24f)}, 2},
      {"cvt.rz.f16.f32", 'h', "cvt.rz.f16.f32 %h0, %f1;", {f(70000)}, 0x7BFF},
      {"cvt.rn.f16.f32 NaN", 'h', "cvt.rn.f16.f32 %h0, %f1;", {0xFFC00000}, 0x7FFF},
      {"cvt.f32.f16", 'f', "cvt.f32.f16 %f0, %h1;", {0x0001}, f(0x1p-24f)},
      {"cvt.rn.bf16.f32", 'h', "cvt.rn.bf16.f32 %h0, %f1;", {0x3F808001}, 0x3F81},
      {"cvt.rz.bf16.f32", 'h', "cvt.rz.bf16.f32 %h0, %f1;", {0x3F80FFFF}, 0x3F80},
      {"cvt.f32.bf16", 'f', "cvt.f32.bf16 %f0, %h1;", {0x3F80}, f(1)},
      {"cvt.rn.f16.s32", 'h', "cvt.rn.f16.s32 %h0, %r1;", {2049}, 0x6800},
      {"cvt.rn.f16x2.f32", 'r', "cvt.rn.f16x2.f32 %r0, %f1, %f2;", {f(1), f(2)}, 0x3C004000},
      {"cvt.rn.relu.bf16x2.f32", 'r', "cvt.rn.relu.bf16x2.f32 %r0, %f1, %f2;", {f(-1), f(2)}, 0x4000},
      {"cvt.rna.tf32.f32", 'r', "cvt.rna.tf32.f32 %r0, %f1;", {0x3F801000}, 0x3F802000},
      {"e4m3x2: the first is high", 'h', "cvt.rn.satfinite.e4m3x2.f32 %h0, %f1, %f2;", {f(1), f(-2)}, 0x38C0},
      {"e4m3x2 saturates", 'h', "cvt.rn.satfinite.e4m3x2.f32 %h0, %f1, %f2;", {f(1000), f(-kInfinity)}, 0x7EFE},
      {"e4m3x2 NaN", 'h', "cvt.rn.satfinite.e4m3x2.f32 %h0, %f1, %f2;", {0xFFC00000, f(464)}, 0x7F7E},
      {"e4m3x2 ties", 'h', "cvt.rn.satfinite.e4m3x2.f32 %h0, %f1, %f2;", {f(1.0625f), f(1.1875f)}, 0x383A},
      {"e4m3x2 subnormals", 'h', "cvt.rn.satfinite.e4m3x2.f32 %h0, %f1, %f2;", {f(-0x1p-10f), f(0x1.8p-9f)}, 0x8002},
      {"e5m2x2", 'h', "cvt.rn.satfinite.e5m2x2.f32 %h0, %f1, %f2;", {f(1e9f), f(0x1.8p-17f)}, 0x7B01},
      {"e4m3x2.f16x2", 'h', "cvt.rn.satfinite.e4m3x2.f16x2 %h0, %r1;", {0x3C00C000}, 0x38C0},
      {"f16x2.e4m3x2", 'r', "cvt.rn.f16x2.e4m3x2 %r0, %h1;", {0x3801}, 0x3C001800},
      {"f16x2.e4m3x2 NaN", 'r', "cvt.rn.f16x2.e4m3x2 %r0, %h1;", {0xFF7E}, 0x7FFF5F00},
      {"f16x2.e5m2x2", 'r', "cvt.rn.f16x2.e5m2x2 %r0, %h1;", {0x3C01}, 0x3C000100},
      {"cvt.pack.u8", 'r', "cvt.pack.sat.u8.s32.b32 %r0, %r1, %r2, %r3;", {300, 0xFFFFFFFF, 0x1234}, 0x1234FF00},
      {"cvt.pack.s16", 'r', "cvt.pack.sat.s16.s32 %r0, %r1, %r2;", {40000, 0xFFFFFFFF}, 0x7FFFFFFF},
      {"mov pack", 'r', "mov.b32 %r0, {%h1, %h2};", {0x1111, 0x2222}, 0x22221111},
      {"mov unpack", 'r', "mov.b64 {_, %r0}, %rd1;", {0x1234567800000000}, 0x12345678},
  });
}
