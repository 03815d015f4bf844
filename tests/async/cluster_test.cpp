// Asynchronous work between the blocks of a cluster: one load for many blocks, and copies and
// reductions from one block's shared memory or registers to another's.
#include <doctest/doctest.h>
#include <fmt/core.h>

#include <algorithm>

#include "orders.hpp"

using namespace octavo::emulator;
using namespace octavo::emulator::test;

namespace {

// Blocks of 64 threads, in a cluster of %r2 of which this one's rank is %r1. Each holds 1024 bytes
// of the source, `own`, a poisoned `tile`, and an mbarrier; `at` is a thread's 16 bytes of the
// tile. The block's part of a tile is %r4 bytes at `part`. %r15 is the next block's tile, %r16 its
// mbarrier; of block 0, %r21 and %r20, %r19 the thread's bytes. %p1: thread 0; %p2: block of the
// mask p2; %p3: block 0; %p4: %p1 and %p2; %p5: %p1 and %p3.
constexpr const char* kSetUp = R"(
    .shared .align 128 .b8 tile[1024]; .shared .align 128 .b8 own[1024]; .shared .align 8 .b64 bar; .reg .b32 at, from, bars, part;
    ld.param.u64 %rd1, [p0]; ld.param.u64 %rd2, [p1]; ld.param.u64 %rd3, [p2]; ld.param.u64 %rd10, [p3]; cvt.u16.u64 %h1, %rd3; cvt.u32.u64 %r50, %rd3;
    mov.u32 %r1, %cluster_ctarank; mov.u32 %r2, %cluster_nctarank; mov.u32 %r3, %tid.x; setp.eq.u32 %p1, %r3, 0;
    mov.u32 bars, bar; @%p1 mbarrier.init.shared::cta.b64 [bars], 1; fence.mbarrier_init.release.cluster;
    shl.b32 %r6, %r3, 4; mov.u32 at, tile; add.u32 at, at, %r6; mov.u32 from, own; add.u32 from, from, %r6;
    mov.u32 %r7, 0xA5A5A5A5; st.shared.v4.u32 [at], {%r7, %r7, %r7, %r7};
    mad.lo.u32 %r8, %r1, 1024, %r6; cvt.u64.u32 %rd4, %r8; add.u64 %rd5, %rd1, %rd4; add.u64 %rd6, %rd2, %rd4;
    ld.global.v4.u32 {%r10, %r11, %r12, %r13}, [%rd5]; st.shared.v4.u32 [from], {%r10, %r11, %r12, %r13};
    fence.proxy.async.shared::cta; div.u32 %r4, 1024, %r2; mul.lo.u32 %r5, %r1, %r4; mov.u32 part, tile; add.u32 part, part, %r5;
    cvt.u64.u32 %rd7, %r5; add.u64 %rd7, %rd1, %rd7; shr.u32 %r9, %r50, %r1; and.b32 %r9, %r9, 1; setp.ne.u32 %p2, %r9, 0;
    add.u32 %r14, %r1, 1; rem.u32 %r14, %r14, %r2; mapa.shared::cluster.u32 %r15, tile, %r14; mapa.shared::cluster.u32 %r16, bar, %r14;
    mapa.shared::cluster.u32 %r17, at, %r14; mov.u32 %r18, 0; mapa.shared::cluster.u32 %r19, at, %r18; mapa.shared::cluster.u32 %r20, bar, %r18;
    mapa.shared::cluster.u32 %r21, tile, %r18; setp.eq.u32 %p3, %r1, 0; and.pred %p4, %p1, %p2; and.pred %p5, %p1, %p3;
    barrier.cluster.arrive.aligned; barrier.cluster.wait.aligned;
)";
constexpr const char* kSync = "barrier.cluster.arrive.aligned; barrier.cluster.wait.aligned;\n";
constexpr const char* kOut =
    "ld.shared.v4.u32 {%r10, %r11, %r12, %r13}, [at]; "
    "st.global.v4.u32 [%rd6], {%r10, %r11, %r12, %r13};\n";

// The wait of the blocks for which the predicate holds.
std::string wait(const char* predicate) {
  return fmt::format(
      "@!{} bra DONE; W: mbarrier.try_wait.parity.shared::cta.b64 %p9, [bars], 0; @!%p9 bra W; "
      "DONE:\n",
      predicate);
}

LaunchShape shape_of(unsigned blocks) {
  return {.grid = {2 * blocks, 1, 1},
          .block = {64, 1, 1},
          .cluster = {blocks, 1, 1},
          .explicit_cluster = true};
}

using Words = std::vector<std::uint32_t>;

Words random_words(std::size_t count) {
  Words words(count);
  std::uint32_t state = 12345;
  for (std::uint32_t& word : words) word = state = state * 1664525 + 1013904223;
  return words;
}

// Of 16 rows of 16 words; a box is one block's part.
CUtensorMap map_of(std::uint64_t source, unsigned blocks) {
  const std::uint64_t sizes[] = {16, 16}, strides[] = {64};
  const unsigned box[] = {16, 16 / blocks}, steps[] = {1, 1};
  CUtensorMap map;
  use_device();
  REQUIRE(cuTensorMapEncodeTiled(
              &map, CU_TENSOR_MAP_DATA_TYPE_UINT32, 2, reinterpret_cast<void*>(source), sizes,
              strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_NONE,
              CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS);
  return map;
}

// Runs the body for two clusters of this size, which write the same: 256 words a block.
void check(const std::string& body, unsigned blocks, const Words& source, const Words& expected,
           std::uint32_t mask = 0) {
  CAPTURE(body);
  CAPTURE(blocks);
  CAPTURE(mask);
  Machine machine(module_of(kSetUp + body));
  const std::uint64_t from = machine.upload(source), to = machine.allocate(blocks * 1024);
  const std::uint64_t map = machine.upload(std::vector{map_of(from, blocks)});
  for (const Orders& orders : kOrders) {
    CAPTURE(std::string(orders.async));
    CAPTURE(std::string(orders.schedule));
    const InOrder in_order(orders);
    std::memset(reinterpret_cast<void*>(to), 0xCD, blocks * 1024);
    REQUIRE_NOTHROW(machine.launch(shape_of(blocks), {from, to, mask, map}));
    CHECK((machine.download<std::uint32_t>(to, blocks * 256) == expected));
  }
}

const std::pair<unsigned, std::uint32_t> kMasks[] = {{2, 3}, {2, 2}, {2, 1},     {4, 15},
                                                     {4, 5}, {4, 8}, {4, 0b0111}};

// Every block of the mask gets the first 1024 bytes of the source, the others keep their poison.
Words expected_of_mask(const Words& source, unsigned blocks, std::uint32_t mask) {
  Words expected(blocks * 256, 0xA5A5A5A5);
  for (unsigned block = 0; block < blocks; ++block) {
    if ((mask >> block & 1) == 0) continue;
    std::copy_n(source.begin(), 256, expected.begin() + 256 * block);
  }
  return expected;
}

}  // namespace

constexpr const char* kExpectInMask =
    "@%p4 mbarrier.arrive.expect_tx.shared::cta.b64 _, [bars], 1024;\n";
constexpr const char* kMulticast =
    "@%p1 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster "
    "[part], [%rd7], %r4, [bars], %h1;\n";

TEST_CASE("each block loads a part for all blocks of the mask") {
  const std::string loads[] = {
      kMulticast,
      "mul.lo.u32 %r30, %r1, 16; div.u32 %r30, %r30, %r2; mov.u32 %r31, 0;\n"
      "@%p1 cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      ".multicast::cluster [part], [%rd10, {%r31, %r30}], [bars], %h1;\n"};
  for (const std::string& load : loads) {
    for (const auto& [blocks, mask] : kMasks) {
      const Words source = random_words(blocks * 256);
      check(kExpectInMask + load + wait("%p2") + kSync + kOut, blocks, source,
            expected_of_mask(source, blocks, mask), mask);
    }
  }
}

TEST_CASE("each block sends its bytes to the next one") {
  const std::string body = std::string(
                               "@%p1 mbarrier.arrive.expect_tx.shared::cta.b64 _, [bars], 1024;\n"
                               "mov.u32 %r30, own; @%p1 cp.async.bulk.shared::cluster.shared::cta"
                               ".mbarrier::complete_tx::bytes [%r15], [%r30], 1024, [%r16];\n") +
                           wait("%p10") + kSync + kOut;
  for (const unsigned blocks : {2u, 4u}) {
    const Words source = random_words(blocks * 256);
    Words expected = source;
    std::rotate(expected.begin(), expected.end() - 256, expected.end());
    check("setp.eq.u32 %p10, %r3, %r3;\n" + body, blocks, source, expected);
  }
}

TEST_CASE("all blocks add to block 0's bytes at once") {
  const std::string body =
      std::string(
          "mul.lo.u32 %r31, %r2, 1024;\n"
          "@%p5 mbarrier.arrive.expect_tx.shared::cta.b64 _, [bars], %r31;\n"
          "mov.u32 %r30, own; @%p1 cp.reduce.async.bulk.shared::cluster.shared::cta"
          ".mbarrier::complete_tx::bytes.add.u32 [%r21], [%r30], 1024, [%r20];\n") +
      wait("%p3") + kSync + kOut;
  for (const unsigned blocks : {2u, 4u}) {
    const Words source = random_words(blocks * 256);
    Words expected(blocks * 256, 0xA5A5A5A5);
    for (std::size_t i = 0; i < source.size(); ++i) expected[i % 256] += source[i];
    check(body, blocks, source, expected);
  }
}

namespace {

// The thread's bytes in registers of every kind, and 1024 bytes expected.
constexpr const char* kRegisters =
    "mov.b64 %rd10, {%r10, %r11}; mov.b64 %rd11, {%r12, %r13}; mov.b32 %f10, %r10; mov.b32 %f11, "
    "%r11; mov.b32 %f12, %r12; mov.b32 %f13, %r13; mov.b64 %d10, %rd10; mov.b64 %d11, %rd11;\n"
    "setp.eq.u32 %p10, %r3, %r3;\n"
    "@%p1 mbarrier.arrive.expect_tx.shared::cta.b64 _, [bars], 1024;\n";

struct Type {
  const char* name;
  const char* reg;
  std::size_t bytes;
};

// Of all 16 bytes, in vectors of this many.
std::string async_stores(const Type& type, std::size_t width) {
  std::string all;
  for (std::size_t i = 0; i < 16 / type.bytes; i += width) {
    std::string values;
    for (std::size_t j = i; j < i + width; ++j) {
      values += fmt::format("{}{}{}", j == i ? "" : ", ", type.reg, 10 + j);
    }
    all +=
        fmt::format("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes{}.{} [%r17+{}], ",
                    width == 1 ? "" : fmt::format(".v{}", width), type.name, i * type.bytes) +
        (width == 1 ? values : "{" + values + "}") + ", [%r16];\n";
  }
  return all;
}

}  // namespace

TEST_CASE("threads store to the next block's bytes: every type and width") {
  const Type types[] = {{"b32", "%r", 4},  {"u32", "%r", 4},  {"s32", "%r", 4},  {"f32", "%f", 4},
                        {"b64", "%rd", 8}, {"u64", "%rd", 8}, {"s64", "%rd", 8}, {"f64", "%d", 8}};
  for (const Type& type : types) {
    for (std::size_t width = 1; width * type.bytes <= 16; width *= 2) {
      const unsigned blocks = type.bytes == 4 ? 2 : 4;
      const Words source = random_words(blocks * 256);
      Words expected = source;
      std::rotate(expected.begin(), expected.end() - 256, expected.end());
      check(kRegisters + async_stores(type, width) + wait("%p10") + kSync + kOut, blocks, source,
            expected);
    }
  }
}

TEST_CASE("threads of all blocks reduce block 0's words at once") {
  using U64 = std::uint64_t;
  const auto less = [](U64 a, U64 b) {
    return static_cast<std::int32_t>(a) < static_cast<std::int32_t>(b);
  };
  struct Reduction {
    const char* name;
    const char* with;
    std::function<U64(U64, U64)> combine;
  };
  const Reduction reductions[] = {
      {"add.u32", "%r10", [](U64 a, U64 b) { return a + b; }},
      {"add.s32", "%r10", [](U64 a, U64 b) { return a + b; }},
      {"add.u64", "%rd10", [](U64 a, U64 b) { return a + b; }},
      {"min.u32", "%r10", [](U64 a, U64 b) { return std::min(a, b); }},
      {"max.u32", "%r10", [](U64 a, U64 b) { return std::max(a, b); }},
      {"min.s32", "%r10", [&](U64 a, U64 b) { return less(a, b) ? a : b; }},
      {"max.s32", "%r10", [&](U64 a, U64 b) { return less(a, b) ? b : a; }},
      {"and.b32", "%r10", [](U64 a, U64 b) { return a & b; }},
      {"or.b32", "%r10", [](U64 a, U64 b) { return a | b; }},
      {"xor.b32", "%r10", [](U64 a, U64 b) { return a ^ b; }},
      {"inc.u32", "0xFFFFFFFF", [](U64 a, U64) { return a + 1; }},
      {"dec.u32", "0xFFFFFFFF", [](U64 a, U64) { return a - 1; }}};
  for (const Reduction& reduction : reductions) {
    const std::size_t bytes = std::string(reduction.name).ends_with("64") ? 8 : 4;
    for (const unsigned blocks : {2u, 4u}) {
      const Words source = random_words(blocks * 256);
      Words expected(blocks * 256, 0xA5A5A5A5);
      for (std::size_t i = 0; i < source.size(); i += 4) {
        U64 sum = 0, term = 0;
        std::memcpy(&sum, &expected[i % 256], bytes);
        std::memcpy(&term, &source[i], bytes);
        sum = reduction.combine(sum, term);
        std::memcpy(&expected[i % 256], &sum, bytes);
      }
      check(fmt::format("mov.b64 %rd10, {{%r10, %r11}};\n"
                        "@%p5 mbarrier.arrive.expect_tx.shared::cta.b64 _, [bars], {};\n"
                        "red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes.{} "
                        "[%r19], {}, [%r20];\n",
                        64 * bytes * blocks, reduction.name, reduction.with) +
                wait("%p3") + kSync + kOut,
            blocks, source, expected);
    }
  }
}

TEST_CASE("asynchronous stores that the ISA does not have are refused at load") {
  const std::string st = "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.";
  const std::string red = "red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes.";
  for (const std::string& instruction :
       {st + "b16 [%r1], %h1, [%r2];", st + "v4.b64 [%r1], {%rd1, %rd1, %rd1, %rd1}, [%r2];",
        st + "v2.b32 [%r1], %r1, [%r2];", st + "b32 [%r1], %r1, %r2;",
        std::string("st.async.weak.shared::cluster.b32 [%r1], %r1, [%r2];"),
        red + "min.u64 [%r1], %rd1, [%r2];", red + "inc.s32 [%r1], %r1, [%r2];",
        red + "u32 [%r1], %r1, [%r2];",
        std::string("red.async.shared::cluster.mbarrier::complete_tx::bytes.add.u32 [%r1], %r1, "
                    "[%r2];")}) {
    const Ending ending = load_and_launch(module_of(instruction), {}, {1, 1, 1});
    CHECK_MESSAGE(
        (ending.code == CUDA_ERROR_INVALID_PTX || ending.code == CUDA_ERROR_NOT_SUPPORTED),
        instruction << ": " << ending.message);
  }
}

TEST_CASE("what must not be done between blocks is reported with its places") {
  struct Planted {
    std::string name;
    std::string body;
    std::uint32_t mask;
    std::vector<std::string> says;
  };
  const std::string expect = kExpectInMask, load = kMulticast;
  const Planted faults[] = {
      {"a block that is not in the cluster", expect + load, 6, {"block 2 of a cluster of 2"}},
      {"no mbarrier in one of the blocks",
       std::string("setp.eq.u32 %p10, %r1, 1; and.pred %p10, %p10, %p1;\n"
                   "@%p10 mbarrier.inval.shared.b64 [bars];\n") +
           kSync +
           "@%p5 mbarrier.arrive.expect_tx.shared::cta.b64 _, [bars], 1024;\n@%p3 bra L; "
           "bra M; L:\n" +
           load + "M:\n" + wait("%p3") + kSync,
       3,
       {"no mbarrier is initialised at shared address 0x", "of block 1 of the cluster"}},
      {"a block that has exited",
       "@!%p3 exit; mov.u32 %r40, 0; L: nanosleep.u32 20; add.u32 %r40, %r40, 1; "
       "setp.lt.u32 %p11, %r40, 500; @%p11 bra L;\n" +
           load,
       2,
       {"the cluster's block 1, which has exited"}},
      {"a block that exits before its bytes have come",
       expect + load + "@%p3 exit;\n" + wait("%p2"),
       3,
       {"ended while this was in flight"}},
      {"another block's bytes before they have come",
       "@%p5 mbarrier.arrive.expect_tx.shared::cta.b64 _, [bars], 1024;\n" + load +
           "bar.sync 0;\n" + kOut,
       3,
       {"in flight still writes", "@%p1 cp.async.bulk.shared::cluster"}},
      {"a write in one of the blocks without a fence",
       std::string("st.shared.u32 [at], %r1;\n") + kSync + expect + load + wait("%p2") + kSync,
       3,
       {"which a thread wrote without a fence.proxy.async after it", "st.shared.u32 [at], %r1"}},
      {"a store that nobody waits for",
       "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.b32 [%r17], %r3, [%r16];\n",
       0,
       {"ended while this was in flight", "st.async.weak"}},
      {"a word before it has been stored",
       "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.b32 [%r17], %r3, [%r16];\n" +
           std::string(kSync) + kOut,
       0,
       {"reads shared address 0x", "in flight still writes", "st.async.weak"}},
      {"a word before it has been added to",
       "red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes.add.u32 [%r17], "
       "%r3, [%r16];\n" +
           std::string(kSync) + kOut,
       0,
       {"reads shared address 0x", "in flight still writes", "red.async.relaxed"}},
      {"a misaligned vector",
       "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v2.b32 [%r17+4], {%r3, %r3}, "
       "[%r16];\n",
       0,
       {"not a multiple of 8"}},
      {"an undefined value",
       "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.b32 [%r17], %r59, [%r16];\n",
       0,
       {"stores an undefined value"}},
      {"an mbarrier of another block",
       "mov.u32 %r30, own; @%p1 cp.async.bulk.shared::cluster.shared::cta"
       ".mbarrier::complete_tx::bytes [%r15], [%r30], 1024, [bars];\n",
       0,
       {"is of another block than the destination"}},
  };
  for (const Planted& planted : faults) {
    CAPTURE(planted.name);
    const InOrder in_order(kOrders[0]);
    Machine machine(module_of(kSetUp + planted.body));
    std::string message;
    try {
      machine.launch(shape_of(2),
                     {machine.upload(random_words(512)), machine.allocate(2048), planted.mask});
    } catch (const Fault& fault) {
      message = fault.what();
    }
    for (const std::string& part : planted.says) {
      CHECK_MESSAGE(message.find(part) != std::string::npos, message << " lacks " << part);
    }
  }
}
