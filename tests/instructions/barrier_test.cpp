// A block's named barriers, and registers that its warps pass on.
#include <doctest/doctest.h>

#include <cstdlib>

#include "harness.hpp"

using namespace octavo::emulator;
using namespace octavo::emulator::test;

namespace {

// %r1 thread, %r2 warp, %rd1 the thread's word of p0.
const std::string kHead =
    ".shared .align 8 .b32 box[256]; ld.param.u64 %rd0, [p0]; mov.u32 %r1, %tid.x; shr.u32 %r2, "
    "%r1, 5;\n"
    "mul.wide.u32 %rd1, %r1, 4; add.u64 %rd1, %rd0, %rd1; shl.b32 %r3, %r1, 2; mov.u32 %r4, box; "
    "add.u32 %r3, %r4, %r3;\n"
    "and.b32 %r5, %r1, 1; setp.eq.u32 %p1, %r5, 0; setp.eq.u32 %p2, %r2, 0;\n";

// What each thread of a block stores, the same under every schedule.
std::vector<std::uint32_t> run(const std::string& body, std::uint32_t threads) {
  Machine machine(module_of(kHead + body + "\nst.global.u32 [%rd1], %r0;"));
  const std::uint64_t to = machine.allocate(threads * 4);
  std::vector<std::uint32_t> first;
  under_each_schedule([&] {
    machine.launch({1, 1, 1}, {threads, 1, 1}, {to});
    const auto values = machine.download<std::uint32_t>(to, threads);
    if (first.empty()) first = values;
    CHECK(values == first);
  });
  return first;
}

}  // namespace

TEST_CASE("producers arrive, consumers wait, in turn on two barriers") {
  // Warp 0 fills the box ten times; warp 1 adds up what it finds.
  const auto sums = run(R"(
    mov.u32 %r6, 0; mov.u32 %r0, 0; and.b32 %r7, %r1, 31; shl.b32 %r8, %r7, 2; add.u32 %r8, %r4, %r8; @!%p2 bra CONSUME;
    PRODUCE: mad.lo.u32 %r9, %r6, 100, %r7; st.shared.u32 [%r8], %r9; bar.arrive 1, 64; bar.sync 2, 64;
    add.u32 %r6, %r6, 1; setp.lt.u32 %p3, %r6, 10; @%p3 bra PRODUCE; bra END;
    CONSUME: barrier.sync.aligned 1, 64; ld.shared.u32 %r9, [%r8]; add.u32 %r0, %r0, %r9; barrier.cta.arrive 2, 64;
    add.u32 %r6, %r6, 1; setp.lt.u32 %p3, %r6, 10; @%p3 bra CONSUME; END:)",
                        64);
  for (std::uint32_t t = 0; t < 64; ++t) CHECK(sums[t] == (t < 32 ? 0 : 4500 + 10 * (t - 32)));
}

TEST_CASE("lanes that part meet at one barrier, from different instructions") {
  const auto values = run(R"(
    st.shared.u32 [%r3], %r1; @%p1 bra EVEN; barrier.sync 3; ld.shared.u32 %r0, [box+252]; bra END;
    EVEN: add.u32 %r6, %r1, 500; st.shared.u32 [%r3], %r6; barrier.cta.sync 3; ld.shared.u32 %r0, [box+248];
    END: barrier.sync 0;)",
                          64);
  for (std::uint32_t t = 0; t < 64; ++t) CHECK(values[t] == (t % 2 == 0 ? 562 : 63));
}

TEST_CASE("reductions at a barrier, of all threads and of some, aligned or not") {
  const auto count = run("barrier.red.popc.u32 %r0, 1, %p1;", 96);
  for (const auto value : count) CHECK(value == 48);
  const auto all = run(
      "setp.lt.u32 %p3, %r1, 200; bar.red.and.pred %p4, 0, %p3; barrier.red.or.pred %p5, 1, !%p3;"
      "selp.u32 %r0, 1, 0, %p4; @%p5 add.u32 %r0, %r0, 2;",
      64);
  for (const auto value : all) CHECK(value == 1);
  // Warps 0 and 1 among themselves; the lanes of each come from two places.
  const auto some = run(R"(
    mov.u32 %r0, 7; setp.gt.u32 %p3, %r2, 1; @%p3 bra END; setp.lt.u32 %p4, %r1, 10; @%p1 bra EVEN;
    barrier.red.popc.u32 %r0, 2, 64, %p4; bra END; EVEN: barrier.red.popc.u32 %r0, 2, 64, !%p4; END:)",
                        96);
  for (std::uint32_t t = 0; t < 96; ++t) CHECK(some[t] == (t < 64 ? 5 + 27 : 7));
}

TEST_CASE("threads that have exited hold up no barrier") {
  // Half of each warp exits, and a whole warp.
  const auto values = run(
      "mov.u32 %r0, 9; @%p2 bra GONE; @%p1 bra GONE; barrier.sync 0; bar.sync 0; mov.u32 %r0, 4; "
      "bra END; GONE: st.global.u32 [%rd1], %r0; exit; END:",
      96);
  for (std::uint32_t t = 0; t < 96; ++t) CHECK(values[t] == (t < 32 || t % 2 == 0 ? 9 : 4));
}

TEST_CASE("what barriers must not be used for") {
  struct Wrong {
    const char* body;
    CUresult code;
    const char* part;
  };
  const std::vector<Wrong> wrongs = {
      {"@%p2 bra A; bar.sync 1, 64; bra E; A: bar.sync 1, 128; E:", CUDA_ERROR_LAUNCH_FAILED,
       "barrier 1 expects"},
      {"@%p2 bra A; bar.sync 1; bra E; A: bar.sync 1, 64; E:", CUDA_ERROR_LAUNCH_FAILED,
       "barrier 1 expects"},
      {"@%p2 bar.arrive 1, 64; @%p2 bar.arrive 1, 96; bar.sync 0;", CUDA_ERROR_LAUNCH_FAILED,
       "barrier 1 expects 96"},
      {"@!%p2 bra E; bar.arrive 1, 96; bar.arrive 1, 96; E:", CUDA_ERROR_LAUNCH_FAILED,
       "arrives at barrier 1 once more"},
      {"bar.arrive 1, 0;", CUDA_ERROR_ILLEGAL_INSTRUCTION, "needs a number of threads"},
      {"bar.sync 1, 40;", CUDA_ERROR_ILLEGAL_INSTRUCTION, "40 threads, not a multiple"},
      {"barrier.sync %r1;", CUDA_ERROR_LAUNCH_FAILED, "barrier 1 here but 0 in lane 0"},
      {"@%p2 bra A; bar.sync 1; bra E; A: bar.red.popc.u32 %r6, 1, %p1; E:",
       CUDA_ERROR_LAUNCH_FAILED, "reduces for some warps"},
      {"@%p1 bra A; barrier.sync 1; bra E; A: barrier.sync 2; E:", CUDA_ERROR_LAUNCH_FAILED,
       "at another barrier"},
      {"@%p1 bra A; barrier.sync 1; bra E; A: bar.warp.sync 0xffffffff; E:",
       CUDA_ERROR_LAUNCH_FAILED, "wait for each other"},
      {"@%p2 bra E; bar.sync 5, 96; E:", CUDA_ERROR_LAUNCH_FAILED,
       "warp 1 at barrier 5 (32 of 96 threads arrived, line"},
      {"@%p2 bra E; bar.sync 4; bra F; E: bar.sync 6; F:", CUDA_ERROR_LAUNCH_FAILED,
       "warp 0 at barrier 6 (32 of 64 threads arrived, line"},
  };
  for (const Wrong& wrong : wrongs) {
    CAPTURE(std::string(wrong.body));
    const Ending ending = load_and_launch(module_of(kHead + wrong.body), {1, 1, 1}, {64, 1, 1});
    CAPTURE(ending.message);
    CHECK(ending.code == wrong.code);
    CHECK(ending.message.find(wrong.part) != std::string::npos);
  }
}

namespace {

// A kernel of 384 threads, whose warps begin with 168 registers each, as 65536 allow.
std::string with_registers(const std::string& body, const std::string& bounds = ".maxntid 384") {
  return ".version 8.4\n.target sm_90a\n.address_size 64\n.visible .entry k()" + bounds +
         "\n{\n.reg .pred %p<4>; .reg .b32 %r<8>; mov.u32 %r1, %tid.x; setp.lt.u32 %p1, %r1, "
         "128;\n" +
         body + "\nret;\n}\n";
}

}  // namespace

TEST_CASE("setmaxnreg: a warpgroup gives registers back and others take them") {
  struct Run {
    std::string text;
    const char* part;  // of the fault; "" if it runs
  };
  const std::string both =
      "@%p1 bra DOWN; setmaxnreg.inc.sync.aligned.u32 {}; bra END; "
      "DOWN: setmaxnreg.dec.sync.aligned.u32 40; END:";
  const auto up_to = [&](const char* count) {
    std::string text = both;
    return text.replace(text.find("{}"), 2, count);
  };
  const std::vector<Run> runs = {
      {with_registers(up_to("232")), ""},
      {with_registers(up_to("240")), "at setmaxnreg.inc (has 168 registers a thread, its block "},
      {with_registers(up_to("240"), ""), ""},  // the kernel does not say with how many it begins
      {with_registers(up_to("168"), ".maxntid 384 .maxnreg 128"), ""},
      {with_registers(up_to("120"), ".maxntid 384 .maxnreg 128"),
       "up to 120 registers a thread, which has 128"},
      {with_registers("setmaxnreg.dec.sync.aligned.u32 176;"),
       "down to 176 registers a thread, which has 168"},
      {with_registers("setmaxnreg.inc.sync.aligned.u32 100;"), "multiple of 8 from 24 to 256"},
      {with_registers("setmaxnreg.dec.sync.aligned.u32 16;"), "multiple of 8 from 24 to 256"},
      {with_registers("setmaxnreg.dec.u32 24;"), "not supported"},
  };
  for (const Run& test : runs) {
    CAPTURE(test.text);
    under_each_schedule([&] {
      const Ending ending = load_and_launch(test.text, {1, 1, 1}, {384, 1, 1});
      CAPTURE(ending.message);
      CHECK((ending.code == CUDA_SUCCESS) == (*test.part == '\0'));
      CHECK(ending.message.find(test.part) != std::string::npos);
    });
  }
}

TEST_CASE("a loop without an end stops at the time limit and says where its warps are") {
  setenv("OCTAVO_EMULATOR_TIMEOUT", "0.1", 1);
  under_each_schedule([&] {
    const Ending ending = load_and_launch(
        module_of(kHead +
                  "@%p2 bra WAIT;\nLOOP: add.u32 %r6, %r1, 1;\nbra LOOP;\nWAIT: bar.sync 1, 64;"),
        {1, 1, 1}, {64, 1, 1});
    CAPTURE(ending.message);
    CHECK(ending.code == CUDA_ERROR_LAUNCH_FAILED);
    CHECK(ending.message.find("took longer than OCTAVO_EMULATOR_TIMEOUT") != std::string::npos);
    CHECK(ending.message.find("warp 1 near line 13") != std::string::npos);
    CHECK(ending.message.find("warp 0 at barrier 1 (32 of 64 threads arrived, line 14)") !=
          std::string::npos);
  });
  // Lanes that have parted: each round of the loop is left by none.
  const Ending ending = load_and_launch(
      module_of(kHead +
                "@%p1 bra OTHER;\nLOOP: bra LOOP;\nOTHER: add.u32 %r6, %r1, 1;\nbra OTHER;"),
      {1, 1, 1}, {32, 1, 1});
  CAPTURE(ending.message);
  CHECK(ending.message.find("warp 0 near line 1") != std::string::npos);
  unsetenv("OCTAVO_EMULATOR_TIMEOUT");
}
