// Every kind of wrong program ends in one line that says what and where.
#include <doctest/doctest.h>

#include <cstdlib>

#include "harness.hpp"

using namespace octavo::emulator;
using namespace octavo::emulator::test;

namespace {

struct Wrong {
  const char* body;
  CUresult code;
  std::vector<const char*> says;
};

}  // namespace

TEST_CASE("faults at run time name line, block, warp and lane") {
  const Wrong wrongs[] = {
      {"mov.u64 %rd1, 0;\nld.global.u32 %r1, [%rd1];",
       CUDA_ERROR_ILLEGAL_ADDRESS,
       {"kernel k, line 9: ld.global.u32 %r1, [%rd1]", "block (0,0,0), warp 0, lane 0",
        "null pointer"}},
      {"mov.u32 %r1, %tid.x; setp.ne.u32 %p1, %r1, 37; @%p1 exit; mov.u64 %rd1, 64;\nst.global.u32 "
       "[%rd1], %r1;",
       CUDA_ERROR_ILLEGAL_ADDRESS,
       {"warp 1, lane 5", "0x40: not device memory"}},
      {"ld.param.u64 %rd1, [p0]; ld.global.u32 %r1, [%rd1+2];",
       CUDA_ERROR_ILLEGAL_ADDRESS,
       {"4 bytes at address"}},
      {".shared .align 4 .b8 s[64]; mov.u32 %r1, s; st.shared.u32 [%r1+64], %r1;",
       CUDA_ERROR_ILLEGAL_ADDRESS,
       {"shared address 0x440", "64 bytes of shared memory"}},
      {".shared .align 4 .b8 s[64]; mov.u32 %r1, s; st.shared.u32 [%r1+2], %r1;",
       CUDA_ERROR_MISALIGNED_ADDRESS,
       {"not a multiple of 4"}},
      {".local .align 4 .b8 s[8]; mov.u64 %rd1, s; ld.local.u32 %r1, [%rd1+16];",
       CUDA_ERROR_ILLEGAL_ADDRESS,
       {"local address 0x10"}},
      {"mov.u32 %r1, %tid.x; rem.u32 %r2, 5, %r1;",
       CUDA_ERROR_ILLEGAL_INSTRUCTION,
       {"lane 0: integer division by zero"}},
      {"trap;", CUDA_ERROR_LAUNCH_FAILED, {"trap"}},
      {"mov.u32 %r1, %tid.x; setp.lt.u32 %p1, %r1, 32; @%p1 bar.sync 1, 64;",
       CUDA_ERROR_LAUNCH_FAILED,
       {"waits that can never complete", "warp 0 at barrier 1 (32 of 64 threads arrived"}},
      {"mov.u32 %r1, %laneid; setp.lt.u32 %p1, %r1, 16; @%p1 bra A; bar.sync 0; bra B; A: bar.sync "
       "0; B:",
       CUDA_ERROR_LAUNCH_FAILED,
       {"wait for each other at different warp-synchronous instructions"}},
      {"bar.sync 16;", CUDA_ERROR_ILLEGAL_INSTRUCTION, {"barrier 16"}},
      {"mov.u32 %r1, 7; TS: .branchtargets L0; brx.idx %r1, TS; L0:",
       CUDA_ERROR_ILLEGAL_INSTRUCTION,
       {"index 7 into 1 branch targets"}},
  };
  for (const Wrong& wrong : wrongs) {
    const Ending ending = load_and_launch(module_of(wrong.body), {2, 1, 1}, {64, 1, 1});
    CHECK_MESSAGE(ending.code == wrong.code, std::string(wrong.body) << ": " << ending.message);
    CHECK(ending.message.find('\n') == std::string::npos);
    for (const char* part : wrong.says) {
      CHECK_MESSAGE(ending.message.find(part) != std::string::npos,
                    ending.message << " lacks " << part);
    }
  }
}

TEST_CASE("out of bounds and use after free of allocations") {
  Machine machine(module_of("ld.param.u64 %rd1, [p0]; ld.global.u32 %r1, [%rd1];"));
  const std::uint64_t buffer = machine.allocate(64);
  const auto fault_at = [&](std::uint64_t address) -> std::string {
    try {
      machine.launch({}, {1, 1, 1}, {address});
    } catch (const Fault& fault) {
      return fault.what();
    }
    return {};
  };
  CHECK(fault_at(buffer + 60).empty());
  CHECK(fault_at(buffer + 64).find("0 bytes past the end of a 64-byte allocation") !=
        std::string::npos);
  CHECK(fault_at(buffer + 62).find("across the end of a 64-byte allocation") != std::string::npos);
  machine.memory().release(buffer);
  CHECK(fault_at(buffer).find("inside a 64-byte allocation that was freed") != std::string::npos);
}

TEST_CASE("what the emulator does not have is refused by name, at load") {
  const Wrong wrongs[] = {
      {"frobnicate.b32 %r1, %r2;",
       CUDA_ERROR_NOT_SUPPORTED,
       {"line 8: frobnicate.b32: this instruction"}},
      {"tex.1d.v4.f32.f32 {%f1, %f2, %f3, %f4}, [%rd1, {%f1}];",
       CUDA_ERROR_NOT_SUPPORTED,
       {"tex.1d"}},
      {"add.weird.s32 %r1, %r2, %r3;", CUDA_ERROR_NOT_SUPPORTED, {"modifier .weird"}},
      {"add.s32 %r1, %r2;", CUDA_ERROR_INVALID_PTX, {"too few operands"}},
      {"add.s32 %r1, %r2, %rd1;", CUDA_ERROR_INVALID_PTX, {"%rd1 has 64 bits, not 32"}},
      {"ld.global.u32 %r1, %r2;", CUDA_ERROR_INVALID_PTX, {"operand 2"}},
      {"mov.u32 %r1, %pm0;", CUDA_ERROR_NOT_SUPPORTED, {"%pm0"}},
  };
  for (const Wrong& wrong : wrongs) {
    const Ending ending = load_and_launch(module_of(wrong.body), {}, {32, 1, 1});
    CHECK_MESSAGE(ending.code == wrong.code, wrong.body << ": " << ending.message);
    for (const char* part : wrong.says) {
      CHECK_MESSAGE(ending.message.find(part) != std::string::npos,
                    ending.message << " lacks " << part);
    }
  }
}

TEST_CASE("a loop without an end is stopped") {
  setenv("OCTAVO_EMULATOR_TIMEOUT", "0.5", 1);
  const Ending ending = load_and_launch(module_of("LOOP: bra.uni LOOP;"), {}, {32, 1, 1});
  unsetenv("OCTAVO_EMULATOR_TIMEOUT");
  CHECK(ending.code == CUDA_ERROR_LAUNCH_FAILED);
  CHECK(ending.message.find("OCTAVO_EMULATOR_TIMEOUT") != std::string::npos);
}

TEST_CASE("more parameters than a kernel can have") {
  const Ending ending = load_and_launch(
      ".version 8.4\n.target sm_90a\n.address_size 64\n.visible .entry k(.param .b8 "
      "p[4294967295]) { ret; }",
      {}, {32, 1, 1});
  CHECK(ending.code == CUDA_ERROR_INVALID_PTX);
  CHECK(ending.message.find("more than 32764 bytes of parameters") != std::string::npos);
}

TEST_CASE("shapes that the device does not have") {
  const std::string ptx = module_of("");
  CHECK(load_and_launch(ptx, {0, 1, 1}, {1, 1, 1}).code == CUDA_ERROR_INVALID_VALUE);
  CHECK(load_and_launch(ptx, {1, 1, 1}, {1024, 2, 1}).code == CUDA_ERROR_INVALID_VALUE);
  CHECK(load_and_launch(ptx, {1, 1, 1}, {1, 1, 1}, {}, 1 << 20).code == CUDA_ERROR_INVALID_VALUE);
}
