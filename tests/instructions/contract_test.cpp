// Products that are fused into sums; tests/contract/ says which are.
#include <doctest/doctest.h>

#include <cmath>

#include "harness.hpp"

using namespace octavo::emulator::test;

namespace {

// The square of kA is kSquare, and this much more that rounding drops.
const std::uint64_t kA = f(0x1.000002p0f), kSquare = f(0x1.000004p0f), kRest = f(0x1p-46f);
const std::uint64_t kMinusRest = f(-0x1p-46f);
const std::uint64_t kA64 = d(0x1.0000000000001p0), kSquare64 = d(0x1.0000000000002p0);

}  // namespace

TEST_CASE("a product in a sum is not rounded") {
  check_cases({
      {"sub", 'f', "mul.f32 %f4, %f1, %f1; sub.f32 %f0, %f4, %f2;", {kA, kSquare}, kRest},
      {"add",
       'f',
       "mul.f32 %f4, %f1, %f1; neg.f32 %f5, %f2; add.f32 %f0, %f5, %f4;",
       {kA, kSquare},
       kRest},
      {"sub of it",
       'f',
       "mul.f32 %f4, %f1, %f1; sub.f32 %f0, %f2, %f4;",
       {kA, kSquare},
       kMinusRest},
      {"its opposite",
       'f',
       "mul.f32 %f4, %f1, %f1; neg.f32 %f5, %f4; add.f32 %f0, %f5, %f2;",
       {kA, kSquare},
       kMinusRest},
      {"sub of its opposite",
       'f',
       "mul.f32 %f4, %f1, %f1; neg.f32 %f5, %f4; neg.f32 %f6, %f2; sub.f32 %f0, %f6, %f5;",
       {kA, kSquare},
       kRest},
      {"named rounding",
       'f',
       "mul.rn.f32 %f4, %f1, %f1; sub.f32 %f0, %f4, %f2;",
       {kA, kSquare},
       f(0)},
      {"used otherwise too",
       'f',
       "mul.f32 %f4, %f1, %f1; sub.f32 %f5, %f4, %f2; fma.rn.f32 %f0, %f4, 0f00000000, %f5;",
       {kA, kSquare},
       f(0)},
      {"the first of two",
       'f',
       "mul.f32 %f4, %f1, %f1; mul.f32 %f5, %f2, 0fBF800000; add.f32 %f0, %f4, %f5;",
       {kA, kSquare},
       kRest},
      {"not the second",
       'f',
       "mul.f32 %f4, %f1, %f1; mul.f32 %f5, %f2, 0fBF800000; add.f32 %f0, %f5, %f4;",
       {kA, kSquare},
       f(0)},
      {"a factor is overwritten",
       'f',
       "mul.f32 %f4, %f1, %f1; mov.f32 %f1, %f3; sub.f32 %f0, %f4, %f2;",
       {kA, kSquare, f(7)},
       kRest},
      {"over its factor",
       'f',
       "mul.f32 %f1, %f1, %f1; sub.f32 %f0, %f1, %f2;",
       {kA, kSquare},
       kRest},
      {"guarded sum",
       'f',
       "setp.eq.u32 %p1, %r3, 0; mov.f32 %f0, %f3; mul.f32 %f4, %f1, %f1;"
       "@%p1 sub.f32 %f0, %f4, %f2;",
       {kA, kSquare, f(7)},
       f(7)},
      {"saturated", 'f', "mul.f32 %f4, %f1, %f1; sub.sat.f32 %f0, %f2, %f4;", {kA, kSquare}, f(0)},
      {"flushed",
       'f',
       "mul.ftz.f32 %f4, %f1, %f2; sub.ftz.f32 %f0, %f4, %f3;",
       {f(0x1p-100f), f(0x1p-40f), f(-0x1p-126f)},
       f(0x1.0004p-126f)},
      {"f64", 'd', "mul.f64 %d4, %d1, %d1; sub.f64 %d0, %d4, %d2;", {kA64, kSquare64}, d(0x1p-104)},
      {"f16", 'h', "mul.f16 %h4, %h1, %h1; sub.f16 %h0, %h4, %h2;", {0x3C01, 0x3C02}, 0x0010},
      {"f16, sub of it",
       'h',
       "mul.f16 %h4, %h1, %h1; sub.f16 %h0, %h2, %h4;",
       {0x3C01, 0x3C02},
       0x8010},
      {"bf16", 'h', "mul.bf16 %h4, %h1, %h1; sub.bf16 %h0, %h4, %h2;", {0x3F81, 0x3F82}, 0x3880},
      {"f16x2",
       'r',
       "mul.f16x2 %r4, %r1, %r1; sub.f16x2 %r0, %r4, %r2;",
       {0x3C013C01, 0x3C023C01},
       0x00101401},
      {"bf16x2",
       'r',
       "mul.bf16x2 %r4, %r1, %r1; sub.bf16x2 %r0, %r2, %r4;",
       {0x3F813F81, 0x3F823F82},
       0xB880B880},
      {"bf16x2, rounded before its sign changes",
       'r',
       "mul.bf16x2 %r4, %r1, %r1; neg.bf16x2 %r5, %r4; add.bf16x2 %r0, %r2, %r5;",
       {0x3F813F81, 0x3F823F82},
       0},
  });
}

TEST_CASE("PTX for debugging is not optimised") {
  const std::string text = module_of(
      "ld.param.u64 %rd1, [p0]; ld.global.f32 %f1, [%rd1]; ld.global.f32 %f2, [%rd1+4];\n"
      "mul.f32 %f3, %f1, %f1; sub.f32 %f4, %f3, %f2; st.global.f32 [%rd1+8], %f4;\n");
  const std::string target = ".target sm_90a";
  for (const bool debug : {false, true}) {
    std::string ptx = text;
    if (debug) ptx.replace(ptx.find(target), target.size(), target + ", debug");
    Machine machine(ptx);
    const std::uint64_t values =
        machine.upload(std::vector<float>{0x1.000002p0f, 0x1.000004p0f, NAN});
    machine.launch({}, {}, {values});
    CHECK(machine.download<float>(values, 3)[2] == (debug ? 0 : 0x1p-46f));
  }
}
