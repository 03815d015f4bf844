// cp.async.bulk and cp.reduce.async.bulk: what arrives, and every hazard with both its places.
#include <doctest/doctest.h>
#include <fmt/core.h>

#include "orders.hpp"

using namespace octavo::emulator;
using namespace octavo::emulator::test;

namespace {

// Thread 0 of 64 starts what is asynchronous; `at` is its thread's 16 bytes of a tile of 1024.
constexpr const char* kSetUp = R"(
    .shared .align 128 .b8 tile[1024]; .shared .align 8 .b64 bar; .reg .b32 at, whole, bars; ld.param.u64 %rd1, [p0];
    ld.param.u64 %rd2, [p1]; mov.u32 %r1, %tid.x; shl.b32 %r2, %r1, 4; mov.u32 whole, tile; add.u32 at, whole, %r2;
    cvt.u64.u32 %rd3, %r2; add.u64 %rd4, %rd1, %rd3; add.u64 %rd5, %rd2, %rd3; mov.u32 bars, bar;
    setp.eq.u32 %p1, %r1, 0; @%p1 mbarrier.init.shared::cta.b64 [bars], 1; fence.mbarrier_init.release.cluster; bar.sync 0;
)";
constexpr const char* kExpect =
    "@%p1 mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [bars], 1024;\n";
constexpr const char* kLoad =
    "@%p1 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [whole], [%rd1], 1024, "
    "[bars];\n";
constexpr const char* kWait =
    "W: mbarrier.try_wait.parity.shared::cta.b64 %p2, [bars], 0; @!%p2 bra W;\n";
constexpr const char* kOut =
    "ld.shared.v4.u32 {%r10, %r11, %r12, %r13}, [at]; st.global.v4.u32 [%rd5], {%r10, %r11, %r12, "
    "%r13};\n";
constexpr const char* kIn =
    "ld.global.v4.u32 {%r10, %r11, %r12, %r13}, [%rd4]; st.shared.v4.u32 [at], {%r10, %r11, %r12, "
    "%r13};\n";
constexpr const char* kFence = "fence.proxy.async.shared::cta; bar.sync 0;\n";
constexpr const char* kStore =
    "@%p1 cp.async.bulk.global.shared::cta.bulk_group [%rd2], [whole], 1024;\n";
constexpr const char* kDone = "cp.async.bulk.commit_group; cp.async.bulk.wait_group 0;\n";

Run run(const std::string& body, const Orders& orders) { return run_warps(kSetUp + body, orders); }

std::string text(std::initializer_list<const char*> parts) {
  std::string all;
  for (const char* part : parts) all += part;
  return all;
}

}  // namespace

TEST_CASE("sound kernels of bulk copies give the same bits in every order") {
  const std::string sound[] = {
      text({kExpect, kLoad, kWait, kOut}),
      text({kLoad, kExpect, kWait, kOut}),  // the bytes may come before they are expected
      text({kExpect,
            "createpolicy.fractional.L2::evict_first.b64 %rd9, 1.0;\n"
            "@%p1 cp.async.bulk.shared::cta.global.mbarrier::complete_tx::bytes.L2::cache_hint "
            "[whole], [%rd1], 512, [bars], %rd9;\n"
            "@%p1 cp.async.bulk.shared::cta.global.mbarrier::complete_tx::bytes [whole+512], "
            "[%rd1+512], 512, [bars];\n",
            kWait, kOut}),
      text({kIn, kFence, kStore, kDone}),
      text({kIn, "bar.sync 0; fence.proxy.async;\n", kStore, kDone}),  // in the thread that stores
      text({kIn, kFence, kStore, "cp.async.bulk.commit_group; cp.async.bulk.wait_group.read 0;\n"}),
      text({kIn, kFence, kStore, "cp.async.bulk.commit_group; cp.async.bulk.wait_group.read 0;\n",
            "bar.sync 0; st.shared.u32 [at], %r1;"}),
      text({kExpect, kLoad, kWait,
            "@%p1 cp.async.bulk.prefetch.L2.global [%rd1], 1024; bar.sync 0;\n", kStore, kDone}),
      // Two commits, and a wait for all but the last.
      text({kIn, kFence,
            "@%p1 cp.async.bulk.global.shared::cta.bulk_group [%rd2], [whole], 512;\n"
            "cp.async.bulk.commit_group;\n"
            "@%p1 cp.async.bulk.global.shared::cta.bulk_group [%rd2+512], [whole+512], 512;\n"
            "cp.async.bulk.commit_group; cp.async.bulk.wait_group.read 1; bar.sync 0;\n"
            "setp.lt.u32 %p3, %r1, 32; @%p3 st.shared.u32 [at], %r1;\n"
            "cp.async.bulk.wait_group 0;"}),
      // The producer goes on to the next phase when the consumers have let the tile go.
      text({"@%p1 mbarrier.arrive.expect_tx.shared.b64 _, [bars], 1024;\n", kLoad, kWait,
            "ld.shared.u32 %r20, [at]; bar.sync 0;\n",
            "@%p1 mbarrier.arrive.expect_tx.shared.b64 _, [bars], 1024;\n", kLoad,
            "W2: mbarrier.try_wait.parity.shared.b64 %p2, [bars], 1; @!%p2 bra W2;\n", kOut}),
  };
  for (const std::string& body : sound) {
    for (const Orders& orders : kOrders) {
      const Run result = run(body, orders);
      REQUIRE_MESSAGE(result.fault.empty(), fmt::format("{}: {}", body, result.fault));
      bool same = true;
      for (std::uint32_t i = 0; i < 256; ++i) same = same && result.values[i] == i + 1;
      CHECK_MESSAGE(same, fmt::format("{} under {}", body, orders.async));
    }
  }
}

TEST_CASE("each planted fault is reported with both its places") {
  struct Planted {
    const char* name;
    std::string body;
    std::vector<const char*> says;
  };
  const char* const load = "@%p1 cp.async.bulk.shared::cluster.global";
  const Planted faults[] = {
      {"missing fence",
       text({kIn, "bar.sync 0;\n", kStore, kDone}),
       {"will read shared address 0x400, which a thread wrote without a fence.proxy.async after it",
        "line 13: ld.global.v4.u32", "cp.async.bulk.global.shared::cta"}},
      {"a fence in one warp of two",
       text(
           {kIn, "setp.lt.u32 %p3, %r1, 32; @%p3 fence.proxy.async; bar.sync 0;\n", kStore, kDone}),
       {"will read shared address 0x600", "warp 1, lane 0"}},
      {"a fence of one thread",
       text({kIn, "@%p1 fence.proxy.async; bar.sync 0;\n", kStore, kDone}),
       {"will read shared address 0x410", "warp 0, lane 1"}},
      {"a fence before the write",
       text({"fence.proxy.async;\n", kIn, "bar.sync 0;\n", kStore, kDone}),
       {"without a fence.proxy.async after it"}},
      {"a load over what threads wrote",
       text({kIn, "bar.sync 0;\n", kExpect, kLoad, kWait, kOut}),
       {"will write shared address 0x400, which a thread wrote without a fence.proxy.async"}},
      {"missing wait",
       text({kExpect, kLoad, "bar.sync 0;\n", kOut}),
       {"reads shared address 0x", "in flight still writes: line 14: @%p1 cp.async.bulk",
        "line 16: ld.shared.v4.u32"}},
      {"wrong parity",
       text({kExpect, kLoad,
             "bar.sync 0; W: mbarrier.try_wait.parity.shared::cta.b64 %p2, [bars], 1; @!%p2 bra "
             "W;\n",
             kOut}),
       {"reads shared address 0x", load}},
      {"too much is expected",
       text({"@%p1 mbarrier.arrive.expect_tx.shared.b64 _, [bars], 1040;\n", kLoad, kWait, kOut}),
       {"can never complete", "0 of 1 arrivals pending, tx-count 16"}},
      {"too little is expected",
       text({"@%p1 mbarrier.arrive.expect_tx.shared.b64 _, [bars], 1008;\n", kLoad, kWait, kOut}),
       {"can never complete", "0 of 1 arrivals pending, tx-count -16"}},
      {"the second half is not expected",
       text({"@%p1 mbarrier.arrive.expect_tx.shared.b64 _, [bars], 512;\n"
             "@%p1 cp.async.bulk.shared::cta.global.mbarrier::complete_tx::bytes [whole], [%rd1], "
             "512, [bars];\n"
             "@%p1 cp.async.bulk.shared::cta.global.mbarrier::complete_tx::bytes [whole+512], "
             "[%rd1+512], 512, [bars];\n",
             kWait, kOut}),
       {"reads shared address 0x600", "in flight still writes: line 15"}},
      {"early overwrite of what is stored",
       text({kIn, kFence, kStore, "@%p1 st.shared.u32 [whole+64], %r1;\n", kDone}),
       {"writes shared address 0x440, which work in flight still reads: line 15"}},
      {"a wait without a commit",
       text({kIn, kFence, kStore, "cp.async.bulk.wait_group 0;\n@%p1 st.shared.u32 [whole], %r1;\n",
             kDone}),
       {"in flight still reads"}},
      {"a load over what is being stored",
       text({kIn, kFence, kStore, kExpect, kLoad, kWait, kDone}),
       {"will write shared address 0x400, which work in flight still reads"}},
      {"a load over a load",
       text({kExpect, kLoad, kLoad, kWait}),
       {"will write shared address 0x400, which work in flight still writes"}},
      {"a store of what is being loaded",
       text({kExpect, kLoad, kStore, kDone}),
       {"will read shared address 0x400, which work in flight still writes"}},
      {"the block ends too early",
       text({kExpect, kLoad}),
       {"block (0,0,0) ended while this was in flight", "line 14: @%p1 cp.async.bulk"}},
      {"an mbarrier that threads do not complete",
       text({"@%p1 mbarrier.inval.shared.b64 [bars]; @%p1 mbarrier.init.shared.b64 [bars], 2;\n",
             kExpect, kLoad, kWait}),
       {"can never complete", "1 of 2 arrivals pending, tx-count 0"}},
      {"a load over its mbarrier",
       text({kExpect,
             "@%p1 cp.async.bulk.shared::cta.global.mbarrier::complete_tx::bytes "
             "[whole+1008], [%rd1], 32, [bars];\n"}),
       {"an mbarrier that was initialised at line 12"}},
      {"no mbarrier",
       text({"@%p1 mbarrier.inval.shared.b64 [bars];\n", kLoad}),
       {"no mbarrier is initialised at shared address 0x800"}},
      {"size",
       "@%p1 cp.async.bulk.global.shared::cta.bulk_group [%rd2], [whole], 24;",
       {"24 bytes, not a multiple of 16"}},
      {"alignment",
       "@%p1 cp.async.bulk.global.shared::cta.bulk_group [%rd2], [whole+8], 16;",
       {"not a multiple of 16"}},
      {"global bounds",
       text({kExpect,
             "@%p1 cp.async.bulk.shared::cta.global.mbarrier::complete_tx::bytes [whole], "
             "[%rd1+16], 1024, [bars];\n"}),
       {"across the end of a 1024-byte allocation"}},
  };
  for (const Planted& planted : faults) {
    const Run result = run(planted.body, kOrders[0]);
    for (const char* part : planted.says) {
      CHECK_MESSAGE(result.fault.find(part) != std::string::npos,
                    fmt::format("{}: \"{}\" lacks \"{}\"", planted.name, result.fault, part));
    }
  }
}

namespace {

struct Reduce {
  const char* operation;
  unsigned bytes;  // of an element
  std::uint64_t old, with, expected;
};

}  // namespace

TEST_CASE("bulk reductions of every operation and type") {
  const Reduce cases[] = {{"add.u32", 4, 0xFFFFFFF0u, 0x20, 0x10},
                          {"add.s32", 4, 5, 0xFFFFFFFAu, 0xFFFFFFFFu},
                          {"add.u64", 8, 0xFFFFFFFFull, 1, 0x100000000ull},
                          {"add.f32", 4, f(1.5f), f(2.25f), f(3.75f)},
                          {"add.f32", 4, 1, f(1e-20f), f(1e-20f)},
                          {"add.f32", 4, 1, 1, 0},  // subnormals are flushed
                          {"add.f64", 8, d(1.5), d(2.25), d(3.75)},
                          {"add.noftz.f16", 2, 0x3C00, 0x3800, 0x3E00},
                          {"add.noftz.f16", 2, 0x0001, 0x0001, 0x0002},
                          {"add.noftz.bf16", 2, 0x3F80, 0x3F00, 0x3FC0},
                          {"min.u32", 4, 3, 0xFFFFFFFFu, 3},
                          {"max.u32", 4, 3, 0xFFFFFFFFu, 0xFFFFFFFFu},
                          {"min.s32", 4, 3, 0xFFFFFFFFu, 0xFFFFFFFFu},
                          {"max.s32", 4, 3, 0xFFFFFFFFu, 3},
                          {"min.u64", 8, 1, ~0ull, 1},
                          {"max.u64", 8, 1, ~0ull, ~0ull},
                          {"min.s64", 8, 1, ~0ull, ~0ull},
                          {"max.s64", 8, 1, ~0ull, 1},
                          {"min.f16", 2, 0x3C00, 0xBC00, 0xBC00},
                          {"min.f16", 2, 0x0000, 0x8000, 0x8000},
                          {"max.f16", 2, 0x3C00, 0x7E00, 0x3C00},
                          {"max.bf16", 2, 0xBF80, 0x3F80, 0x3F80},
                          {"inc.u32", 4, 7, 7, 0},
                          {"inc.u32", 4, 6, 7, 7},
                          {"dec.u32", 4, 0, 7, 7},
                          {"dec.u32", 4, 9, 7, 7},
                          {"dec.u32", 4, 5, 7, 4},
                          {"and.b32", 4, 0xF0F0, 0xFF00, 0xF000},
                          {"or.b32", 4, 0xF0F0, 0xFF00, 0xFFF0},
                          {"xor.b32", 4, 0xF0F0, 0xFF00, 0x0FF0},
                          {"and.b64", 8, 0xF0F000000000ull, 0xFF0000000000ull, 0xF00000000000ull},
                          {"or.b64", 8, 0xF0F000000000ull, 0xFF0000000000ull, 0xFFF000000000ull},
                          {"xor.b64", 8, 0xF0F000000000ull, 0xFF0000000000ull, 0x0FF000000000ull}};
  for (const Reduce& test : cases) {
    const std::string body =
        text({kIn, kFence}) +
        fmt::format(
            "@%p1 cp.reduce.async.bulk.global.shared::cta.bulk_group.{} [%rd2], [whole], "
            "1024;\n{}",
            test.operation, kDone);
    Machine machine(module_of(kSetUp + body));
    std::vector<std::uint8_t> source(1024), target(1024);
    for (std::size_t i = 0; i < 1024; i += test.bytes) {
      std::memcpy(&source[i], &test.with, test.bytes);
      std::memcpy(&target[i], &test.old, test.bytes);
    }
    const std::uint64_t to = machine.upload(target);
    machine.launch({}, {64, 1, 1}, {machine.upload(source), to});
    const auto values = machine.download<std::uint8_t>(to, 1024);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < 1024; i += test.bytes) {
      wrong += std::memcmp(&values[i], &test.expected, test.bytes) != 0;
    }
    CHECK_MESSAGE(wrong == 0, std::string(test.operation));
  }
}

TEST_CASE("bulk instructions that the ISA does not have are refused at load") {
  for (const char* instruction :
       {"cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f16 [%rd1], [%r1], 16;",
        "cp.reduce.async.bulk.global.shared::cta.bulk_group.and.f32 [%rd1], [%r1], 16;",
        "cp.reduce.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes.min.u64 "
        "[%r1], [%r2], 16, [%r3];",
        "cp.async.bulk.shared::cta.global.mbarrier::complete_tx::bytes.multicast::cluster [%r1], "
        "[%rd1], 16, [%r3], %h1;",
        "cp.async.bulk.shared::cta.global.mbarrier::complete_tx::bytes [%r1], [%rd1], 16, [%r3], "
        "%rd2;",
        "cp.async.bulk.tensor.2d.shared::cta.global.mbarrier::complete_tx::bytes [%r1], [%rd1, "
        "{%r2}], [%r3];",
        "cp.async.bulk.tensor.3d.shared::cta.global.im2col.mbarrier::complete_tx::bytes [%r1], "
        "[%rd1, {%r2, %r2, %r2}], [%r3], {%h1};"}) {
    const Ending ending = load_and_launch(module_of(instruction), {}, {1, 1, 1});
    CHECK_MESSAGE(
        (ending.code == CUDA_ERROR_INVALID_PTX || ending.code == CUDA_ERROR_NOT_SUPPORTED),
        instruction << ": " << ending.message);
    CHECK(ending.message.find("line 8: cp.") == 0);
  }
}
