// mbarrier.*, each form by what the ISA says of its counts and phases.
#include <doctest/doctest.h>
#include <fmt/core.h>

#include "orders.hpp"

using namespace octavo::emulator;
using namespace octavo::emulator::test;

namespace {

// One thread runs `body` on an mbarrier at `bar`; results are r10, r11, ... and p1, p2, ...
constexpr const char* kSetUp = R"(
    .shared .align 8 .b64 bar; .shared .align 8 .b64 other; .reg .b64 st<8>; .reg .b32 at;
    ld.param.u64 %rd1, [p0]; mov.u32 at, bar;
)";

struct Counts {
  const char* name;
  const char* body;
  std::uint32_t expected[4];  // %r10..%r13
};

std::string results(const char* body) {
  return module_of(std::string(kSetUp) +
                   "mov.u32 %r10, 0; mov.u32 %r11, 0; mov.u32 %r12, 0; mov.u32 %r13, 0;\n" + body +
                   "\nst.global.v4.u32 [%rd1], {%r10, %r11, %r12, %r13};");
}

}  // namespace

TEST_CASE("the phases and counts of an mbarrier") {
  const Counts cases[] = {
      {"a phase completes with its last arrival",
       "mbarrier.init.shared::cta.b64 [at], 2; mbarrier.arrive.shared::cta.b64 st1, [at];\n"
       "mbarrier.test_wait.shared::cta.b64 %p1, [at], st1; selp.b32 %r10, 1, 0, %p1;\n"
       "mbarrier.arrive.shared.b64 st2, [at]; mbarrier.test_wait.shared.b64 %p1, [at], st2;\n"
       "selp.b32 %r11, 1, 0, %p1; mbarrier.arrive.b64 st3, [%rd2];\n"
       "mbarrier.try_wait.shared::cta.b64 %p1, [at], st3; selp.b32 %r12, 1, 0, %p1;\n"
       "mbarrier.try_wait.shared::cta.b64 %p1, [at], st1; selp.b32 %r13, 1, 0, %p1;",
       {0, 1, 0, 1}},
      {"parity: of the phase before the current one",
       "mbarrier.init.shared.b64 [at], 1; mbarrier.test_wait.parity.shared.b64 %p1, [at], 1;\n"
       "selp.b32 %r10, 1, 0, %p1; mbarrier.test_wait.parity.shared.b64 %p1, [at], 0;\n"
       "selp.b32 %r11, 1, 0, %p1; mbarrier.arrive.shared.b64 _, [at];\n"
       "mbarrier.try_wait.parity.acquire.cta.shared.b64 %p1, [at], 0, 1000;\n"
       "selp.b32 %r12, 1, 0, %p1; mbarrier.try_wait.parity.shared.b64 %p1, [at], 1;\n"
       "selp.b32 %r13, 1, 0, %p1;",
       {1, 0, 1, 0}},
      {"arrivals by count, and what was pending before them",
       "mbarrier.init.shared.b64 [at], 10; mbarrier.arrive.noComplete.shared.b64 st1, [at], 3;\n"
       "mbarrier.arrive.noComplete.release.cta.shared.b64 st2, [at], 6;\n"
       "mbarrier.pending_count.b64 %r10, st1; mbarrier.pending_count.b64 %r11, st2;\n"
       "mbarrier.arrive.release.cta.shared.b64 st3, [at], 1; mbarrier.pending_count.b64 %r12, "
       "st3;\n"
       "mbarrier.test_wait.shared.b64 %p1, [at], st3; selp.b32 %r13, 1, 0, %p1;",
       {10, 7, 1, 1}},
      {"who drops out is not expected in the next phase",
       "mbarrier.init.shared.b64 [at], 3; mbarrier.arrive_drop.shared.b64 _, [at];\n"
       "mbarrier.arrive.shared.b64 st1, [at], 2; mbarrier.test_wait.shared.b64 %p1, [at], st1;\n"
       "selp.b32 %r10, 1, 0, %p1; mbarrier.arrive_drop.noComplete.shared.b64 st2, [at], 1;\n"
       "mbarrier.pending_count.b64 %r11, st2; mbarrier.arrive.shared.b64 st3, [at];\n"
       "mbarrier.test_wait.shared.b64 %p1, [at], st3; selp.b32 %r12, 1, 0, %p1;\n"
       "mbarrier.arrive.shared.b64 st4, [at]; mbarrier.pending_count.b64 %r13, st4;",
       {1, 2, 1, 1}},
      {"transactions hold a phase open",
       "mbarrier.init.shared.b64 [at], 1;\n"
       "mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 st1, [at], 48;\n"
       "mbarrier.test_wait.shared.b64 %p1, [at], st1; selp.b32 %r10, 1, 0, %p1;\n"
       "mbarrier.complete_tx.shared.b64 [at], 32; mbarrier.test_wait.shared.b64 %p1, [at], st1;\n"
       "selp.b32 %r11, 1, 0, %p1; mbarrier.expect_tx.relaxed.cta.shared.b64 [at], 16;\n"
       "mbarrier.complete_tx.relaxed.cluster.shared::cluster.b64 [at], 16;\n"
       "mbarrier.test_wait.shared.b64 %p1, [at], st1; selp.b32 %r12, 1, 0, %p1;\n"
       "mbarrier.complete_tx.shared.b64 [at], 16; mbarrier.test_wait.shared.b64 %p1, [at], st1;\n"
       "selp.b32 %r13, 1, 0, %p1;",
       {0, 0, 0, 1}},
      {"transactions may complete before they are expected",
       "mbarrier.init.shared.b64 [at], 1; mbarrier.complete_tx.shared.b64 [at], 64;\n"
       "mbarrier.arrive.expect_tx.shared.b64 st1, [at], 64;\n"
       "mbarrier.test_wait.acquire.cta.shared.b64 %p1, [at], st1; selp.b32 %r10, 1, 0, %p1;\n"
       "mbarrier.arrive_drop.expect_tx.shared.b64 st2, [at], 16;\n"
       "mbarrier.test_wait.relaxed.cta.shared.b64 %p1, [at], st2; selp.b32 %r11, 1, 0, %p1;\n"
       "mbarrier.complete_tx.shared.b64 [at], 16; mbarrier.test_wait.shared.b64 %p1, [at], st2;\n"
       "selp.b32 %r12, 1, 0, %p1;",
       {1, 0, 1, 0}},
      {"its bytes are free again once invalidated",
       "mbarrier.init.shared.b64 [at], 1; mbarrier.inval.shared.b64 [at]; mov.u32 %r1, 7;\n"
       "st.shared.u32 [at], %r1; ld.shared.u32 %r10, [at]; mbarrier.init.shared.b64 [at], 5;\n"
       "mbarrier.arrive.shared.b64 st1, [at], 2; mbarrier.pending_count.b64 %r11, st1;\n"
       "cp.async.mbarrier.arrive.shared.b64 [at]; cp.async.mbarrier.arrive.noinc.shared.b64 [at];\n"
       "cp.async.wait_all; mbarrier.arrive.shared.b64 st2, [at]; "
       "mbarrier.pending_count.b64 %r12, st2;",
       {7, 5, 2, 0}},
  };
  for (const Counts& test : cases) {
    for (const Orders& orders : kOrders) {
      const InOrder in_order(orders);
      Machine machine(results(
          (std::string("mov.u64 %rd2, bar; cvta.shared.u64 %rd2, %rd2;\n") + test.body).c_str()));
      const std::uint64_t to = machine.allocate(16);
      machine.launch({}, {1, 1, 1}, {to});
      const auto values = machine.download<std::uint32_t>(to, 4);
      for (std::size_t i = 0; i < 4; ++i) {
        CHECK_MESSAGE(
            values[i] == test.expected[i],
            fmt::format("{}, {}: result {} is {}", test.name, orders.async, i, values[i]));
      }
    }
  }
}

TEST_CASE("wrong uses of an mbarrier name it and its state") {
  struct Wrong {
    const char* body;
    std::vector<const char*> says;
  };
  const Wrong wrongs[] = {
      {"mbarrier.arrive.shared.b64 _, [at];", {"no mbarrier is initialised at shared address 0x"}},
      {"mbarrier.init.shared.b64 [at], 0;", {"a count of 0"}},
      {"mbarrier.init.shared.b64 [at], 1048576;", {"a count of 1048576"}},
      {"mbarrier.init.shared.b64 [at], 1; mbarrier.init.shared.b64 [at], 1;",
       {"writes shared address", "an mbarrier that was initialised at line"}},
      {"mbarrier.init.shared.b64 [at], 1;\nst.shared.u32 [at+4], %r1;",
       {"line 13: st.shared.u32", "an mbarrier that was initialised at line 12"}},
      {"mbarrier.init.shared.b64 [at], 1;\nld.shared.u8 %r1, [at+7];",
       {"line 13: ld.shared.u8", "reads shared address"}},
      {"mbarrier.init.shared.b64 [at], 1; mbarrier.arrive.shared.b64 _, [at], 2;",
       {"2 arrivals at mbarrier at shared address 0x", "phase 0, 1 of 1 arrivals pending"}},
      {"mbarrier.init.shared.b64 [at], 1; mbarrier.arrive.noComplete.shared.b64 _, [at], 1;",
       {"noComplete completes the phase"}},
      {"mbarrier.init.shared.b64 [at], 1; mbarrier.expect_tx.shared.b64 [at], 1048576;",
       {"the tx-count would be 1048576"}},
      {"mbarrier.init.shared.b64 [at], 1; mbarrier.complete_tx.shared.b64 [at], 1048576;",
       {"the tx-count would be -1048576"}},
      {"mbarrier.init.shared.b64 [at], 1; mbarrier.test_wait.parity.shared.b64 %p1, [at], 2;",
       {"a parity of 2"}},
      {"mbarrier.init.shared.b64 [at+4], 1;", {"not a multiple of 8"}},
      {"ld.param.u64 %rd2, [p0]; mbarrier.init.b64 [%rd2], 1;", {"is not of shared memory"}},
      {"mbarrier.init.shared.b64 [at], 2; mbarrier.arrive.shared.b64 st1, [at];\n"
       "WAIT: mbarrier.try_wait.shared.b64 %p1, [at], st1; @!%p1 bra WAIT;",
       {"waits that can never complete: warp 0 line 13 waits for mbarrier at shared address 0x",
        "phase 0, 1 of 2 arrivals pending, tx-count 0"}},
      {"mbarrier.init.shared.b64 [at], 1; mbarrier.arrive.expect_tx.shared.b64 _, [at], 16;\n"
       "WAIT: mbarrier.test_wait.parity.shared.b64 %p1, [at], 0; nanosleep.u32 20; @!%p1 bra WAIT;",
       {"can never complete", "0 of 1 arrivals pending, tx-count 16"}},
  };
  for (const Wrong& wrong : wrongs) {
    for (const Orders& orders : kOrders) {
      const InOrder in_order(orders);
      const Ending ending = load_and_launch(results(wrong.body), {}, {1, 1, 1});
      for (const char* part : wrong.says) {
        CHECK_MESSAGE(ending.message.find(part) != std::string::npos,
                      fmt::format("{}: \"{}\" lacks \"{}\"", wrong.body, ending.message, part));
      }
    }
  }
}

// Eight warps pass a token on: warp w waits for phase r of mbarrier w, adds, arrives at the next.
TEST_CASE("warps that wait for each other go on in any schedule") {
  for (const Orders& orders : kOrders) {
    const InOrder in_order(orders);
    Machine machine(module_of(R"(
    .shared .align 8 .b8 bars[64]; .shared .align 4 .b32 sum; ld.param.u64 %rd1, [p0];
    mov.u32 %r1, %tid.x; shr.u32 %r2, %r1, 5; and.b32 %r3, %r1, 31; shl.b32 %r4, %r2, 3; mov.u32 %r5, bars;
    add.u32 %r6, %r5, %r4; add.u32 %r7, %r4, 8; and.b32 %r7, %r7, 63; add.u32 %r7, %r5, %r7; mov.u32 %r20, sum;
    setp.ne.u32 %p1, %r3, 0; mov.u32 %r8, 0;
    @!%p1 mbarrier.init.shared.b64 [%r6], 1; setp.eq.u32 %p2, %r1, 0; @%p2 st.shared.u32 [%r20], %r8;
    bar.sync 0;
    @%p2 mbarrier.arrive.shared.b64 _, [%r6];
    LOOP: and.b32 %r9, %r8, 1;
    WAIT: mbarrier.try_wait.parity.shared.b64 %p3, [%r6], %r9; @!%p3 bra WAIT;
    @%p1 bra NEXT;
    ld.shared.u32 %r10, [%r20]; mad.lo.u32 %r10, %r10, 3, %r2; st.shared.u32 [%r20], %r10;
    mbarrier.arrive.shared.b64 _, [%r7];
    NEXT: bar.warp.sync -1; add.u32 %r8, %r8, 1; setp.lt.u32 %p4, %r8, 5; @%p4 bra LOOP;
    bar.sync 0; ld.shared.u32 %r10, [%r20]; @%p2 st.global.u32 [%rd1], %r10;)"));
    const std::uint64_t to = machine.allocate(4);
    machine.launch({}, {256, 1, 1}, {to});
    std::uint32_t expected = 0;
    for (std::uint32_t i = 0; i < 40; ++i) expected = expected * 3 + i % 8;
    CHECK(machine.download<std::uint32_t>(to, 1)[0] == expected);
  }
}
