// Asynchronous work over bytes that other warps have read: what keeps it until they have, and what
// does not.
#include <doctest/doctest.h>
#include <fmt/core.h>

#include "orders.hpp"

using namespace octavo::emulator;
using namespace octavo::emulator::test;

namespace {

// The warps write a tile of 1024 bytes, 16 each thread; what follows runs in warp 0 (%p1) or warp 1
// (%p2), of which %p3 is thread 32. %r20 is a word of another tile, flag one of global memory.
constexpr const char* kSetUp = R"(
    .shared .align 128 .b8 tile[1024]; .shared .align 8 .b8 bars[16]; .shared .align 4 .b32 sign; .reg .b32 at, whole, full, empty, mark; .reg .b64 flag;
    ld.param.u64 %rd1, [p0]; ld.param.u64 flag, [p1]; mov.u32 %r1, %tid.x; shl.b32 %r2, %r1, 4; mov.u32 whole, tile; add.u32 at, whole, %r2; mov.u32 mark, sign;
    mov.u32 full, bars; add.u32 empty, full, 8; setp.lt.u32 %p1, %r1, 32; not.pred %p2, %p1; setp.eq.u32 %p3, %r1, 32; setp.eq.u32 %p5, %r1, 0; mov.u32 %r9, 0;
    @%p3 mbarrier.init.shared.b64 [full], 1; @%p3 mbarrier.init.shared.b64 [empty], 32; @%p5 st.shared.u32 [mark], %r9;
    st.shared.v4.u32 [at], {%r1, %r1, %r1, %r1}; fence.proxy.async; bar.sync 0;
)";
constexpr const char* kRead = "@%p1 ld.shared.u32 %r10, [at];\n";
// Warp 1 lets warp 0 go first, which orders nothing.
constexpr const char* kLater =
    "@%p1 bra NOW; LATER: nanosleep.u32 20; add.u32 %r9, %r9, 1; setp.lt.u32 %p4, %r9, 8;\n"
    "@%p4 bra LATER; NOW:\n";
constexpr const char* kBulk =
    "@%p3 mbarrier.arrive.expect_tx.shared.b64 _, [full], 512;\n"
    "@%p3 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [whole], [%rd1], 512, "
    "[full];\n";
constexpr const char* kWait =
    "W: mbarrier.try_wait.parity.shared.b64 %p4, [full], 0; @!%p4 bra W;\n";
constexpr const char* kCopy =
    "@%p2 cp.async.cg.shared.global [at+-512], [%rd1], 16; cp.async.wait_all;\n";
constexpr const char* kStore =
    "@%p3 mbarrier.arrive.expect_tx.shared.b64 _, [full], 4;\n"
    "@%p3 st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.u32 [whole], %r1, [full];\n";

struct Writer {
  const char* opcode;
  std::string text;
};
const Writer kWriters[] = {{"cp.async.bulk", std::string(kBulk) + kWait},
                           {"cp.async.cg", kCopy},
                           {"st.async", std::string(kStore) + kWait}};

constexpr Orders kInTurn[] = {{"latest", "round-robin"}, {"eager", "round-robin"}};

}  // namespace

TEST_CASE("asynchronous work over what another warp may not have read yet is a fault") {
  const char* const between[] = {
      "\n",
      "bar.warp.sync -1;\n",
      "fence.acq_rel.cta; fence.proxy.async;\n",
      // a barrier before the read, not after it
      "@%p1 bar.arrive 1, 64; @%p2 bar.sync 1, 64;\n@%p1 ld.shared.u32 %r10, [at];\n",
      // an arrival that nothing waits for, or that is waited for in the wrong phase
      "@%p1 mbarrier.arrive.shared.b64 _, [empty];\n",
      "@%p5 mbarrier.arrive.shared.b64 _, [empty], 31;\n"
      "X: mbarrier.try_wait.parity.shared.b64 %p4, [empty], 1; @!%p4 bra X;\n",
      // one that orders nothing
      "@%p1 mbarrier.arrive.relaxed.cta.shared.b64 _, [empty];\n"
      "X: mbarrier.try_wait.parity.shared.b64 %p4, [empty], 0; @!%p4 bra X;\n",
  };
  for (const char* sync : between) {
    for (const Writer& writer : kWriters) {
      for (const Orders& orders : kInTurn) {
        const Run result =
            run_warps(kSetUp + std::string(kLater) + kRead + sync + writer.text, orders);
        for (const char* part :
             {"will write shared address 0x400, which a thread read without a barrier or mbarrier "
              "between the two: line ",
              "@%p1 ld.shared.u32 %r10, [at]: block (0,0,0), warp 0, lane 0", writer.opcode}) {
          CHECK_MESSAGE(
              result.fault.find(part) != std::string::npos,
              fmt::format("{}{}: \"{}\" lacks \"{}\"", sync, writer.text, result.fault, part));
        }
      }
    }
  }
}

TEST_CASE("asynchronous work over what others have read, once it knows, is sound in every order") {
  const char* const between[] = {
      "bar.sync 0;\n",
      "@%p1 bar.arrive 1, 64; @%p2 bar.sync 1, 64;\n",
      "barrier.cluster.arrive.aligned; barrier.cluster.wait.aligned;\n",
      "@%p1 mbarrier.arrive.shared.b64 _, [empty];\n"
      "X: mbarrier.try_wait.parity.shared.b64 %p4, [empty], 0; @!%p4 bra X;\n",
      "@%p5 mbarrier.arrive.shared.b64 _, [empty], 32;\n"
      "X: mbarrier.test_wait.parity.shared.b64 %p4, [empty], 0; @!%p4 bra X;\n",
      "@%p1 cp.async.mbarrier.arrive.noinc.shared.b64 [empty];\n"
      "X: mbarrier.try_wait.parity.shared.b64 %p4, [empty], 0; @!%p4 bra X;\n",
      "fence.acq_rel.cta; @%p1 mbarrier.arrive.relaxed.cta.shared.b64 _, [empty];\n"
      "X: mbarrier.try_wait.parity.shared.b64 %p4, [empty], 0; @!%p4 bra X;\n",
      "@%p1 mbarrier.arrive.shared.b64 _, [empty];\n"
      "X: mbarrier.try_wait.parity.relaxed.cta.shared.b64 %p4, [empty], 0; @!%p4 bra X;\n"
      "fence.acq_rel.cta;\n",
      // by a flag
      "fence.acq_rel.cta; mov.u32 %r11, 1; @%p5 atom.shared.exch.b32 %r12, [mark], %r11;\n"
      "X: ld.acquire.cta.shared.u32 %r12, [mark]; setp.eq.u32 %p4, %r12, 0; @%p4 bra X;\n",
      "fence.acq_rel.cta; mov.u32 %r11, 1; @%p5 red.shared.add.u32 [mark], %r11; bar.warp.sync "
      "-1;\n"
      "X: atom.shared.add.u32 %r12, [mark], %r9; setp.eq.u32 %p4, %r12, 0; @%p4 bra X;\n",
      // the reader is gone
      "@%p1 exit; bar.sync 0;\n",
  };
  for (const char* sync : between) {
    for (const Writer& writer : kWriters) {
      for (const Orders& orders : kOrders) {
        const Run result = run_warps(kSetUp + std::string(kRead) + sync + writer.text, orders);
        CHECK_MESSAGE(result.fault.empty(),
                      fmt::format("{}{}, {} {}: {}", sync, writer.text, orders.async,
                                  orders.schedule, result.fault));
      }
    }
  }
  // A warp's own reads come before what it issues; what nobody reads may be written.
  for (const Writer& writer : kWriters) {
    for (const char* body :
         {"@%p2 ld.shared.u32 %r10, [whole];\n", "ld.shared.u32 %r10, [whole+512];\n"}) {
      const Run result =
          run_warps(kSetUp + std::string(body) + writer.text, {"latest", "round-robin"});
      CHECK_MESSAGE(result.fault.empty(), result.fault);
    }
  }
}

// Two consumers take turns with a producer through a ring of two stages, as attention kernels do:
// one warp waits for `full`, reads, arrives at `empty`; the other waits for that before it fills
// the stage anew. `early` arrives before it reads.
TEST_CASE("a ring of stages: sound, and with an arrival that comes too early") {
  const auto ring = [](bool early) {
    const std::string read = "ld.shared.v4.u32 {%r10, %r11, %r12, %r13}, [%r22];\n";
    const std::string arrive = "mbarrier.arrive.shared.b64 _, [%r24];\n";
    return std::string(R"(
    .shared .align 128 .b8 tile[1024]; .shared .align 8 .b8 bars[32]; ld.param.u64 %rd1, [p0]; ld.param.u64 %rd2, [p1];
    mov.u32 %r1, %tid.x; and.b32 %r2, %r1, 31; setp.eq.u32 %p1, %r1, 0; setp.lt.u32 %p2, %r1, 32; mov.u32 %r20, bars; mov.u32 %r21, tile; mov.u32 %r3, 0; mov.u32 %r15, 0;
    @%p1 mbarrier.init.shared.b64 [%r20], 1; @%p1 mbarrier.init.shared.b64 [%r20+8], 1; @%p1 mbarrier.init.shared.b64 [%r20+16], 32; @%p1 mbarrier.init.shared.b64 [%r20+24], 32;
    fence.mbarrier_init.release.cluster; bar.sync 0;
    LOOP: and.b32 %r4, %r3, 1; shr.u32 %r5, %r3, 1; and.b32 %r5, %r5, 1; mad.lo.u32 %r23, %r4, 8, %r20; add.u32 %r24, %r23, 16; shl.b32 %r6, %r4, 9; add.u32 %r22, %r21, %r6;
    @!%p2 bra CONSUME;
    xor.b32 %r7, %r5, 1;
    E: mbarrier.try_wait.parity.shared.b64 %p3, [%r24], %r7; @!%p3 bra E;
    @%p1 mbarrier.arrive.expect_tx.shared.b64 _, [%r23], 512;
    @%p1 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r22], [%rd1], 512, [%r23];
    bra NEXT;
    CONSUME: shl.b32 %r8, %r2, 4; add.u32 %r22, %r22, %r8;
    F: mbarrier.try_wait.parity.shared.b64 %p3, [%r23], %r5; @!%p3 bra F;
)") + (early ? arrive + read : read + arrive) +
           R"(
    add.u32 %r15, %r15, %r10;
    NEXT: add.u32 %r3, %r3, 1; setp.lt.u32 %p4, %r3, 6; @%p4 bra LOOP;
    mul.wide.u32 %rd3, %r1, 4; add.u64 %rd2, %rd2, %rd3; st.global.u32 [%rd2], %r15;)";
  };
  bool found = false;
  for (const Orders& orders : kOrders) {
    const Run sound = run_warps(ring(false), orders);
    CHECK_MESSAGE(sound.fault.empty(), sound.fault);
    found = found || run_warps(ring(true), orders).fault.find(", which ") != std::string::npos;
  }
  CHECK(found);
}

TEST_CASE("atomics go beside red.async, plain accesses do not") {
  const std::string before =
      kSetUp + std::string(
                   "@%p3 mbarrier.arrive.expect_tx.shared.b64 _, [full], 4; mov.u32 %r11, 5;\n"
                   "@%p3 red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes"
                   ".add.u32 [whole], %r1, [full];\nbar.sync 0;\n");
  const std::string after =
      std::string(kWait) +
      "bar.sync 0; ld.shared.u32 %r12, [whole]; @%p5 st.global.u32 [flag], %r12;";
  for (const char* atomic : {"@%p5 red.shared.add.u32 [whole], %r11;\n",
                             "@%p5 atom.shared.add.u32 %r12, [whole], %r11;\n"}) {
    for (const Orders& orders : kOrders) {
      const Run result = run_warps(before + atomic + after, orders);
      REQUIRE_MESSAGE(result.fault.empty(), result.fault);
      CHECK(result.values[0] == 37);
    }
  }
  const Run plain = run_warps(before + "@%p5 st.shared.u32 [whole], %r11;\n" + after, kOrders[0]);
  CHECK(plain.fault.find("writes shared address 0x400, which work in flight still writes") !=
        std::string::npos);
}

// A warpgroup multiplies a tile by itself; warp 4 then fills it.
TEST_CASE("asynchronous work over the operands of a wgmma") {
  const auto kernel = [](const char* release, const char* acquire) {
    return module_of(fmt::format(R"(
    .shared .align 1024 .b8 tile[2048]; .shared .align 8 .b64 full; .reg .b32 at, bar; ld.param.u64 %rd1, [p0];
    mov.u32 %r1, %tid.x; mov.u32 at, tile; mad.lo.u32 %r2, %r1, 16, at; mov.u32 %r3, 0; mov.u32 bar, full;
    setp.lt.u32 %p1, %r1, 128; setp.eq.u32 %p2, %r1, 128; setp.eq.u32 %p3, 0, 1;
    @%p1 st.shared.v4.u32 [%r2], {{%r3, %r3, %r3, %r3}}; @%p2 mbarrier.init.shared.b64 [bar], 1; fence.proxy.async; bar.sync 0;
    @!%p1 bra FILL;
    wgmma.fence.sync.aligned;
    wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {{%r10, %r11, %r12, %r13}}, 0x1000080040, 0x1000080040, %p3, 1, 1, 0, 0;
    wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0; {} bra END;
    FILL: nanosleep.u32 20; add.u32 %r3, %r3, 1; setp.lt.u32 %p5, %r3, 8; @%p5 bra FILL;
    {}
    @%p2 mbarrier.arrive.expect_tx.shared.b64 _, [bar], 512;
    @%p2 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [at], [%rd1], 512, [bar];
    W: mbarrier.try_wait.parity.shared.b64 %p4, [bar], 0; @!%p4 bra W;
    END:)",
                                 release, acquire));
  };
  const auto fault_of = [](const std::string& ptx, const Orders& orders) {
    const InOrder in_order(orders);
    Machine machine(ptx);
    try {
      machine.launch({}, {160, 1, 1}, {machine.allocate(512)});
    } catch (const Fault& fault) {
      return std::string(fault.what());
    }
    return std::string();
  };
  for (const Orders& orders : kOrders)
    CHECK(fault_of(kernel("bar.arrive 1, 160;", "bar.sync 1, 160;"), orders) == "");
  for (const Orders& orders : kInTurn) {
    const std::string fault = fault_of(kernel("", ""), orders);
    CHECK_MESSAGE(fault.find("will write shared address 0x400, which a thread read without") !=
                      std::string::npos,
                  fault);
    CHECK_MESSAGE(fault.find("between the two: line 15: wgmma.mma_async") != std::string::npos,
                  fault);
  }
}
