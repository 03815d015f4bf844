// Instructions and operands, as NVRTC prints them and as people write them.
#include <doctest/doctest.h>

#include "parse.hpp"

namespace octavo::emulator::ptx {
namespace {

using Kind = Operand::Kind;

TEST_CASE("modifiers are kept in order, and the types among them are found") {
  const Function k = parse_kernel(
      ".reg .b32 %r<9>; .reg .f32 %f<9>;\n"
      "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e5m2.f32 {%f1,%f2,%f3,%f4}, {%r1,%r2,%r3,%r4},"
      " {%r5,%r6}, {%f1,%f2,%f3,%f4};");
  REQUIRE(k.body.size() == 1);
  const Instruction& mma = k.body[0];
  CHECK(mma.opcode == "mma");
  CHECK(mma.line == 6);
  CHECK(mma.modifiers.size() == 9);
  CHECK(mma.has("m16n8k32"));
  CHECK_FALSE(mma.has("m16n8k16"));
  CHECK(mma.type(0) == Type::f32);
  CHECK(mma.type(1) == Type::e4m3);
  CHECK(mma.type(2) == Type::e5m2);
  CHECK(mma.type(3) == Type::f32);
  CHECK(mma.type(4) == Type::none);
  REQUIRE(mma.operands.size() == 4);
  REQUIRE(mma.operands[1].elements.size() == 4);
  CHECK(k.registers[mma.operands[1].elements[3].reg].name == "%r4");
  CHECK(k.registers[mma.operands[1].elements[3].reg].type == Type::b32);
}

TEST_CASE("addresses: base, sign and offset") {
  const Function k = parse_kernel(
      ".reg .b32 %r<9>; .reg .b64 %rd<9>; .shared .align 16 .b8 buffer[64];\n"
      "ld.global.nc.L2::128B.b32 %r1, [%rd1+-2480];\n"
      "ld.global.b32 %r1, [%rd1-16+4];\n"
      "ld.shared.b32 %r1, [buffer+12];\n"
      "ld.param.u64 %rd1, [k_param_0];\n"
      "ld.shared.b32 %r1, [64];\n"
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes"
      " [%r5], [%rd3, {%r7, -8}], [%r6];");
  REQUIRE(k.body.size() == 6);
  CHECK(k.body[0].operands[1].kind == Kind::address);
  CHECK(k.body[0].operands[1].has_reg);
  CHECK(k.body[0].operands[1].offset == -2480);
  CHECK(k.body[0].has("L2::128B"));
  CHECK(k.body[1].operands[1].offset == -12);
  CHECK(k.body[2].operands[1].text == "buffer");
  CHECK(k.body[2].operands[1].offset == 12);
  CHECK_FALSE(k.body[2].operands[1].has_reg);
  CHECK(k.body[3].operands[1].text == "k_param_0");
  CHECK(k.body[4].operands[1].text.empty());
  CHECK(k.body[4].operands[1].offset == 64);
  const Instruction& tma = k.body[5];
  CHECK(tma.modifiers.front() == "async");
  CHECK(tma.has("mbarrier::complete_tx::bytes"));
  REQUIRE(tma.operands.size() == 3);
  REQUIRE(tma.operands[1].elements.size() == 2);
  CHECK(tma.operands[1].elements[0].kind == Kind::reg);
  CHECK(static_cast<std::int64_t>(tma.operands[1].elements[1].bits) == -8);
}

TEST_CASE("pairs, sinks, negated predicates and guards") {
  const Function k = parse_kernel(
      ".reg .pred %p<4>, q; .reg .b32 %r<4>;\n"
      "shfl.sync.bfly.b32 %r1|%p1, %r2, 4, 0x1f, -1;\n"
      "setp.lt.and.s32 %p1|q, %r1, %r2, !%p3;\n"
      "elect.sync _|%p2, 0xffffffff;\n"
      "@!q mbarrier.arrive.shared.b64 _, [%r1];\n"
      "@%p1 mov.b32 %r1, {%r2, _};");
  REQUIRE(k.body.size() == 5);
  CHECK(k.body[0].pair);
  REQUIRE(k.body[0].operands.size() == 6);
  CHECK(k.registers[k.body[0].operands[1].reg].name == "%p1");
  CHECK(k.body[0].operands[5].bits == ~std::uint64_t{0});
  CHECK(k.registers[k.body[1].operands[1].reg].name == "q");
  CHECK(k.body[1].operands[4].negated);
  CHECK(k.body[2].operands[0].kind == Kind::sink);
  CHECK(k.body[2].pair);
  CHECK(k.body[3].guarded);
  CHECK(k.body[3].guard_negated);
  CHECK_FALSE(k.body[3].pair);
  CHECK(k.body[4].guarded);
  CHECK_FALSE(k.body[4].guard_negated);
  CHECK(k.body[4].operands[1].elements[1].kind == Kind::sink);
}

TEST_CASE("numbers in every notation") {
  const Function k = parse_kernel(
      ".reg .b32 %r; .reg .f32 %f; .reg .f64 %d;\n"
      "mov.b32 %r, 0x3210U; mov.b32 %r, 017; mov.b32 %r, 0b101; mov.b32 %r, -1;\n"
      "mov.f32 %f, 0f3F800000; mov.f64 %d, 0d3FF0000000000000; mov.f64 %d, -1.5;\n"
      "mov.f64 %d, 25e-1; mov.f32 %f, -0f3F800000;\n"
      "mov.b32 %r, (1 << 4) | 3; mov.b32 %r, WARP_SZ - 1; mov.b32 %r, 7 / 2 % 2 == 1 ? 10 : 20;\n"
      "mov.b32 %r, -7 >> 1; mov.b32 %r, 2 + 3 * 4; mov.b32 %r, 10 - 3 - 2; mov.b32 %r, ~0 & 0xf0;");
  const std::vector<std::uint64_t> expected = {0x3210,
                                               15,
                                               5,
                                               ~std::uint64_t{0},
                                               0x3F800000,
                                               0x3FF0000000000000,
                                               0xBFF8000000000000,
                                               0x4004000000000000,
                                               0xBF800000,
                                               19,
                                               31,
                                               10,
                                               static_cast<std::uint64_t>(-4),
                                               14,
                                               5,
                                               0xf0};
  REQUIRE(k.body.size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CAPTURE(i);
    CHECK(k.body[i].operands[1].kind == Kind::immediate);
    CHECK(k.body[i].operands[1].bits == expected[i]);
  }
  CHECK(k.body[0].operands[1].float_bits == 0);
  CHECK(k.body[4].operands[1].float_bits == 32);
  CHECK(k.body[5].operands[1].float_bits == 64);
  CHECK(k.body[6].operands[1].float_bits == 64);
}

TEST_CASE("special registers, vector registers and symbols") {
  const Function k = parse_kernel(
      ".reg .b32 %r<4>, laneid; .reg .v4 .f32 v; .reg .b64 %rd; .reg .f32 %f;\n"
      ".local .align 8 .b8 __local_depot0[24];\n"
      "mov.u32 %r1, %tid.x; mov.u32 %r1, %laneid; mov.u32 laneid, %envreg31;\n"
      "mov.f32 %f, v.z; mov.v4.f32 v, {%f, %f, %f, %f}; mov.u64 %rd, __local_depot0+8;");
  CHECK(k.body[0].operands[1].kind == Kind::special);
  CHECK(k.body[0].operands[1].text == "%tid.x");
  CHECK(k.body[1].operands[1].text == "%laneid");
  CHECK(k.body[2].operands[0].kind == Kind::reg);
  CHECK(k.registers[k.body[3].operands[1].reg].name == "v.z");
  REQUIRE(k.body[4].operands[0].elements.size() == 4);
  CHECK(k.body[4].operands[0].elements[2].reg == k.body[3].operands[1].reg);
  CHECK(k.body[5].operands[1].kind == Kind::symbol);
  CHECK(k.body[5].operands[1].offset == 8);
  CHECK(k.variables.at(0).bytes == 24);
  CHECK(k.variables.at(0).space == Space::local);
}

TEST_CASE("wgmma: descriptors, predicates and a long vector") {
  const Function k = parse_kernel(
      ".reg .pred p; .reg .f32 %f<5>; .reg .b64 %rd<3>;\n"
      "wgmma.mma_async.sync.aligned.m64n8k32.f32.e4m3.e4m3 {%f1, %f2, %f3, %f4}, %rd1, %rd2, p, 1,"
      " -1;\nwgmma.wait_group.sync.aligned 0;");
  CHECK(k.body[0].operands.size() == 6);
  CHECK(k.body[0].operands[0].elements.size() == 4);
  CHECK(k.body[1].operands[0].bits == 0);
}

TEST_CASE("calls: results, arguments, prototypes and indirect ones") {
  const Module m = parse(
      in_module(".extern .func (.param .b32 func_retval0) vprintf (.param .b64 a, .param .b64 b);\n"
                ".func helper() { ret; }\n"
                ".entry k() {\n.reg .b64 %rd<4>; .reg .b32 %r<4>;\n"
                "{ .param .b64 param0; st.param.b64 [param0+0], %rd1; .param .b64 param1;\n"
                "  .param .b32 retval0; call.uni (retval0), vprintf, (param0, param1);\n"
                "  ld.param.b32 %r1, [retval0+0]; }\n"
                "{ .param .b64 param0; prototype_1: .callprototype ()_ (.param .b64 _);\n"
                "  call %rd2, (param0), prototype_1; }\n"
                "call helper; call.uni helper, ();\n}"));
  CHECK(m.find("vprintf")->declared_only);
  CHECK_FALSE(m.find("helper")->declared_only);
  const Function& k = *m.find("k");
  REQUIRE(k.body.size() == 6);
  const Instruction& print = k.body[1];
  CHECK(print.callee == "vprintf");
  CHECK(print.call_results == std::vector<std::string>{"retval0"});
  CHECK(print.call_arguments == std::vector<std::string>{"param0", "param1"});
  const Instruction& indirect = k.body[3];
  CHECK(indirect.callee.empty());
  REQUIRE(indirect.operands.size() == 2);
  CHECK(indirect.operands[0].kind == Kind::reg);
  // The second scope's param0 is another variable.
  CHECK(indirect.call_arguments == std::vector<std::string>{"param0.1"});
  CHECK(k.body[4].callee == "helper");
  CHECK(k.variables.size() == 4);
}

}  // namespace
}  // namespace octavo::emulator::ptx
