// cp.async: what its waits promise, and what reads or writes too early.
#include <doctest/doctest.h>
#include <fmt/core.h>

#include "orders.hpp"

using namespace octavo::emulator;
using namespace octavo::emulator::test;

namespace {

constexpr const char* kSetUp = R"(
    .shared .align 16 .b8 tile[1024]; .shared .align 8 .b64 bar; .reg .b32 at, bars; ld.param.u64 %rd1, [p0];
    ld.param.u64 %rd2, [p1]; mov.u32 %r1, %tid.x; shl.b32 %r2, %r1, 4; mov.u32 at, tile; add.u32 at, at, %r2;
    cvt.u64.u32 %rd3, %r2; add.u64 %rd1, %rd1, %rd3; add.u64 %rd2, %rd2, %rd3; mov.u32 bars, bar;
    setp.eq.u32 %p1, %r1, 0;
)";
constexpr const char* kCopy = "cp.async.cg.shared.global [at], [%rd1], 16;\n";
constexpr const char* kOut =
    "\nld.shared.v4.u32 {%r10, %r11, %r12, %r13}, [at]; st.global.v4.u32 [%rd2], {%r10, %r11, "
    "%r12, "
    "%r13};";

Run run(const std::string& body, const Orders& orders) { return run_warps(kSetUp + body, orders); }

}  // namespace

TEST_CASE("cp.async with its waits gives the same bits in every order") {
  const std::string sound[] = {
      std::string(kCopy) + "cp.async.wait_all;" + kOut,
      std::string(kCopy) + "cp.async.commit_group; cp.async.wait_group 0;" + kOut,
      std::string(kCopy) + "cp.async.commit_group; cp.async.commit_group; cp.async.wait_group 1;" +
          kOut,
      std::string("@%p1 mbarrier.init.shared.b64 [bars], 64; bar.sync 0;") + kCopy +
          "cp.async.mbarrier.arrive.noinc.shared.b64 [bars];\n"
          "W: mbarrier.try_wait.parity.shared.b64 %p2, [bars], 0; @!%p2 bra W;" +
          kOut,
      std::string("@%p1 mbarrier.init.shared.b64 [bars], 64; bar.sync 0;") + kCopy +
          "cp.async.mbarrier.arrive.shared.b64 [bars]; mbarrier.arrive.shared.b64 _, [bars];\n"
          "W: mbarrier.test_wait.parity.shared.b64 %p2, [bars], 0; @!%p2 bra W;" +
          kOut};
  for (const std::string& body : sound) {
    for (const Orders& orders : kOrders) {
      const Run result = run(body, orders);
      REQUIRE_MESSAGE(result.fault.empty(), result.fault);
      bool same = true;
      for (std::uint32_t i = 0; i < 256; ++i) same = same && result.values[i] == i + 1;
      CHECK_MESSAGE(same, body);
    }
  }
}

TEST_CASE("touching what cp.async has not finished with is a fault with both places") {
  const std::string early[] = {
      std::string(kCopy) + kOut,
      std::string(kCopy) + "cp.async.commit_group;" + kOut,
      std::string(kCopy) + "cp.async.commit_group; cp.async.wait_group 1;" + kOut,
      std::string(kCopy) + "cp.async.wait_group 0;" + kOut,  // of no group yet
      std::string(kCopy) + "\nst.shared.u8 [at+15], %r1;",
      std::string(kCopy) + "\natom.shared.add.u32 %r3, [at], %r1;",
      std::string(kCopy) + "\ncp.async.ca.shared.global [at+4], [%rd1], 4;",
      std::string(kCopy) + "\nldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r3}, [at];",
      std::string(kCopy) + "\nmbarrier.init.shared.b64 [at], 1;"};
  for (const std::string& body : early) {
    const Run result = run(body, kOrders[0]);
    for (const char* part : {"line 15: ", "in flight still writes: line 13: cp.async.cg",
                             "block (0,0,0), warp 0, lane 0"}) {
      CHECK_MESSAGE(result.fault.find(part) != std::string::npos,
                    fmt::format("{}: \"{}\" lacks \"{}\"", body, result.fault, part));
    }
  }
}
