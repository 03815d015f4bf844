// What wgmma asks of the code around it, of its warpgroup and of its descriptors.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "wgmma_kernel.hpp"

using namespace octavo::emulator;
using namespace octavo::emulator::test;

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
      "%a3}, 0x1000080140, %yes, 1, 1, 0;\n";
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
      "wgmma.mma_async.sync.aligned.m64n8k8.f32.tf32.tf32 {%c0, %c1, %c2, %c3}, 0x40, "
      "0x1000080140, "
      "%no, 1, 1;\n";
  check_fault(kStart + small_wgmma() + tf32 + kEnd,
              {"its accumulators hold those of a wgmma of m64n8k16, and no wgmma.fence came"});
  check_value(kStart + small_wgmma() + kFence + small_wgmma() + kEnd, 32);
  check_fault(kStart + small_wgmma() + kEnd +
                  "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%t4, %t5, %t6, %t7}, {%c0, "
                  "%c1, %c2, %c3}, 0x1000080140, %no, 1, 1, 0;\n" +
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

// %r59 has no value. A's row 0 begins at 0, B's column 0 at 4096.
TEST_CASE("wgmma of undefined shared memory: that row or column may not be used") {
  const auto product = [](const char* at) {
    return std::string("setp.eq.u32 %p1, %t0, 0; @%p1 st.shared.b32 [image+") + at + "], %r59;\n" +
           kStart + small_wgmma() + kEnd;
  };
  for (const char* at : {"4", "4100"})
    check_fault(product(at), {"st.global.b32 [%x5+0], %c0", "stores an undefined value: line ",
                              "(wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16) read it from "
                              "memory where nothing was written"});
  const auto replaced = [](const char* registers) {
    return fmt::format(
        "mov.b32 %r4, 0x41800000; selp.b32 %c0, %r4, %c0, %p1;\n"
        "selp.b32 {0}, %r4, {0}, %p1;\n",
        registers);
  };
  check_value(product("4") + "setp.lt.u32 %p1, %t0, 4;\n" + replaced("%c1"), 16);
  check_value(product("4100") + "and.b32 %r1, %t0, 3; setp.eq.u32 %p1, %r1, 0;\n" + replaced("%c2"),
              16);
  // It stays undefined where it is added to.
  check_fault(product("4") + "@%p1 st.shared.b32 [image+4], %t0;\n" + kStart + small_wgmma() + kEnd,
              {"stores an undefined value"});
  check_value(product("4") + "@%p1 st.shared.b32 [image+4], 0x3C003C00;\n" + kStart +
                  small_wgmma("{%c0, %c1, %c2, %c3}", "0x1000080140", "%no") + kEnd,
              16);
}

TEST_CASE("wgmma takes a whole warpgroup that agrees") {
  check_fault("fence.proxy.async; setp.lt.u32 %p1, %t0, 33; @%p1 bra A;\n" + std::string(kFence) +
                  "A:\n" + kFence + small_wgmma() + kEnd + "@%p1 bra B;\nB:\n" +
                  "setp.eq.u32 %p2, %t0, 5; @%p2 exit;\n" + small_wgmma() + kEnd,
              {"lane 5", "does not take part"});
  check_fault(kStart + small_wgmma() + kEnd, {"are not a warpgroup"}, Shows::always, {96, 1, 1});
  check_fault(kStart +
                  "mov.u64 %rd1, 0x1000080140; setp.eq.u32 %p1, %t0, 40;\n@%p1 mov.u64 %rd1, "
                  "0x1000080141;\n" +
                  small_wgmma("{%c0, %c1, %c2, %c3}", "%rd1") + kEnd,
              {"descriptor of B", "lane 8"});
  check_fault(kStart +
                  "mov.u64 %rd1, 0x1000080140; setp.gt.u32 %p1, %t0, 63;\n@%p1 mov.u64 %rd1, "
                  "0x1000080141;\n" +
                  small_wgmma("{%c0, %c1, %c2, %c3}", "%rd1") + kEnd,
              {"the descriptor of B is 0x10000801", "of its warpgroup"});
  check_fault(kStart + "setp.gt.u32 %p1, %t0, 63; @%p1 bra OTHER;\n" + small_wgmma() + kEnd +
                  "bra DONE;\nOTHER:\n" + small_wgmma() + kEnd + "DONE:\n",
              {"has executed the wgmma at line", "instead"});
  check_fault(
      kStart + "setp.gt.u32 %p1, %t0, 95; @%p1 bra DONE;\n" + small_wgmma() + kEnd + "DONE:\n",
      {"of its warpgroup has"});
  check_fault(kStart + "setp.eq.u32 %p1, %t0, 77;\n" +
                  small_wgmma("{%c0, %c1, %c2, %c3}", "0x1000080140", "%p1") + kEnd,
              {"scale-d is not the same in all lanes"});
}

TEST_CASE("wgmma's descriptors are checked") {
  const auto with_b = [](const char* b) {
    return kStart + small_wgmma("{%c0, %c1, %c2, %c3}", b) + kEnd;
  };
  check_fault(with_b("0x2001000080140"), {"descriptor of B", "base offset"});
  check_fault(with_b("0x1000084140"), {"descriptor of B", "outside its fields"});
  check_fault(with_b("0x1000080239"),
              {"shared address 0x2390 to 0x2490", "8192 bytes from 0x400 on"});
  check_fault(with_b("0x1000183F00"), {"lies from shared address 0x3f000 to"});
  check_fault(with_b("0x100008003F"), {"lies from shared address 0x3f0"});
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
