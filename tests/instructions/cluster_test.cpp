// Clusters: where blocks are in them, each other's shared memory, and their barrier.
#include <doctest/doctest.h>

#include "harness.hpp"

using namespace octavo::emulator;
using namespace octavo::emulator::test;

namespace {

LaunchShape shape_of(Dim3 grid, Dim3 block, Dim3 cluster) {
  return {.grid = grid, .block = block, .cluster = cluster, .explicit_cluster = true};
}

constexpr const char* kSync =
    "barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;\n";

}  // namespace

TEST_CASE("a block finds itself in its cluster and its cluster in the grid") {
  Machine machine(module_of(R"(
    .reg .b32 %v<16>; ld.param.u64 %rd0, [p0];
    mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ctaid.y; mov.u32 %r3, %ctaid.z; mov.u32 %r4, %nctaid.x; mov.u32 %r5, %nctaid.y;
    mad.lo.u32 %r3, %r3, %r5, %r2; mad.lo.u32 %r1, %r3, %r4, %r1; mul.wide.u32 %rd1, %r1, 64; add.u64 %rd1, %rd0, %rd1;
    mov.u32 %v0, %cluster_ctaid.x; mov.u32 %v1, %cluster_ctaid.y; mov.u32 %v2, %cluster_ctaid.z; mov.u32 %v3, %cluster_ctarank;
    mov.u32 %v4, %clusterid.x; mov.u32 %v5, %clusterid.y; mov.u32 %v6, %clusterid.z; mov.u32 %v7, %cluster_nctarank;
    mov.u32 %v8, %nclusterid.x; mov.u32 %v9, %nclusterid.y; mov.u32 %v10, %nclusterid.z; mov.u32 %v11, %cluster_nctaid.x;
    mov.u32 %v12, %cluster_nctaid.y; mov.u32 %v13, %cluster_nctaid.z; mov.pred %p1, %is_explicit_cluster; selp.u32 %v14, 1, 0, %p1;
    st.global.v4.u32 [%rd1], {%v0, %v1, %v2, %v3}; st.global.v4.u32 [%rd1+16], {%v4, %v5, %v6, %v7};
    st.global.v4.u32 [%rd1+32], {%v8, %v9, %v10, %v11}; st.global.v2.u32 [%rd1+48], {%v12, %v13}; st.global.u32 [%rd1+56], %v14;)"));
  constexpr Dim3 kGrid{4, 6, 2}, kCluster{2, 3, 1};
  const std::uint64_t to = machine.allocate(48 * 64);
  under_each_schedule([&] {
    machine.launch(shape_of(kGrid, {32, 1, 1}, kCluster), {to});
    const auto values = machine.download<std::uint32_t>(to, 48 * 16);
    for (std::uint32_t z = 0, at = 0; z < kGrid.z; ++z) {
      for (std::uint32_t y = 0; y < kGrid.y; ++y) {
        for (std::uint32_t x = 0; x < kGrid.x; ++x, at += 16) {
          const std::uint32_t expected[] = {
              x % 2, y % 3, 0, x % 2 + y % 3 * 2, x / 2, y / 3, z, 6, 2, 2, 2, 2, 3, 1, 1};
          for (std::size_t i = 0; i < std::size(expected); ++i) {
            CHECK(values[at + i] == expected[i]);
          }
        }
      }
    }
  });
  machine.launch({1, 1, 1}, {32, 1, 1}, {to});
  const auto alone = machine.download<std::uint32_t>(to, 15);
  const std::uint32_t expected[] = {0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0};
  for (std::size_t i = 0; i < alone.size(); ++i) CHECK(alone[i] == expected[i]);
}

TEST_CASE("blocks read, write and count in each other's shared memory") {
  // Thread t of rank r keeps 1000r + t; reads its neighbour's, writes into the next one's box and
  // counts in rank 0's counter.
  const std::string text = module_of(std::string(R"(
    .shared .align 8 .b32 own[32]; .shared .align 8 .b32 box[32]; .shared .align 4 .b32 counter;
    ld.param.u64 %rd0, [p0]; mov.u32 %r1, %tid.x; mov.u32 %r2, %cluster_ctarank; mov.u32 %r3, %cluster_nctarank;
    mad.lo.u32 %r4, %r2, 1000, %r1; shl.b32 %r5, %r1, 2; mov.u32 %r6, own; add.u32 %r6, %r6, %r5; st.shared.u32 [%r6], %r4;
    mov.u32 %r7, 0; st.shared.u32 [counter], %r7;
    add.u32 %r8, %r2, 1; rem.u32 %r8, %r8, %r3;
)") + kSync + R"(
    mapa.shared::cluster.u32 %r9, %r6, %r8; ld.shared::cluster.u32 %r10, [%r9];
    cvt.u64.u32 %rd1, %r6; cvta.shared.u64 %rd2, %rd1; mapa.u64 %rd3, %rd2, %r8; ld.u32 %r11, [%rd3];
    getctarank.shared::cluster.u32 %r12, %r9; getctarank.u64 %r13, %rd3;
    isspacep.shared::cta %p1, %rd3; isspacep.shared::cluster %p2, %rd3; isspacep.global %p3, %rd3; isspacep.shared %p4, %rd2;
    selp.u32 %r14, 1, 0, %p1; selp.u32 %r15, 2, 0, %p2; selp.u32 %r16, 4, 0, %p3; selp.u32 %r17, 8, 0, %p4;
    or.b32 %r14, %r14, %r15; or.b32 %r14, %r14, %r16; or.b32 %r14, %r14, %r17;
    mapa.shared::cluster.u32 %r18, box, %r8; add.u32 %r18, %r18, %r5; st.shared::cluster.u32 [%r18], %r4;
    mov.u32 %r19, 0; mapa.shared::cluster.u32 %r20, counter, %r19; atom.shared::cluster.add.u32 %r21, [%r20], %r1;
    red.shared::cluster.add.u32 [%r20], 1; cvta.to.shared::cluster.u64 %rd4, %rd3; cvt.u32.u64 %r22, %rd4; sub.u32 %r22, %r22, %r9;
)" + kSync + R"(
    mov.u32 %r23, box; add.u32 %r23, %r23, %r5; ld.shared.u32 %r24, [%r23]; ld.shared::cluster.u32 %r25, [%r20];
    mov.u32 %r26, %ctaid.x; mov.u32 %r27, %ntid.x; mad.lo.u32 %r26, %r26, %r27, %r1; mul.wide.u32 %rd5, %r26, 32; add.u64 %rd5, %rd0, %rd5;
    st.global.v4.u32 [%rd5], {%r10, %r11, %r12, %r13}; st.global.v4.u32 [%rd5+16], {%r14, %r24, %r25, %r22};
)" + kSync);
  for (const std::uint32_t blocks : {1u, 2u, 4u, 8u, 16u}) {
    Machine machine(text);
    const std::uint64_t to = machine.allocate(48 * 32 * 32);
    under_each_schedule([&] {
      machine.launch(shape_of({48, 1, 1}, {32, 1, 1}, {blocks, 1, 1}), {to});
      const auto values = machine.download<std::uint32_t>(to, 48 * 32 * 8);
      std::size_t wrong = 0;
      for (std::uint32_t b = 0; b < 48; ++b) {
        const std::uint32_t rank = b % blocks, next = (rank + 1) % blocks;
        const std::uint32_t before = (rank + blocks - 1) % blocks;
        for (std::uint32_t t = 0; t < 32; ++t) {
          const std::uint32_t expected[] = {
              1000 * next + t,   1000 * next + t,     next, next, 10u + (blocks == 1),
              1000 * before + t, blocks * (496 + 32), 0};
          for (std::size_t i = 0; i < 8; ++i) {
            wrong += values[(b * 32 + t) * 8 + i] != expected[i];
          }
        }
      }
      CHECK(wrong == 0);
    });
  }
}

TEST_CASE("a block's own addresses hold in the whole cluster") {
  // Rank 1 sends the address of its variable, unmapped; rank 0 stores through it.
  Machine machine(module_of(
      std::string(R"(
    .shared .align 8 .b32 mail; .shared .align 8 .b32 mine; ld.param.u64 %rd0, [p0]; mov.u32 %r1, %cluster_ctarank;
    setp.eq.u32 %p1, %r1, 1; mov.u32 %r2, mine; mov.u32 %r3, 0; )") +
      kSync +
      R"( mapa.shared::cluster.u32 %r4, mail, %r3; @%p1 st.shared::cluster.u32 [%r4], %r2; )" +
      kSync +
      R"( @!%p1 ld.shared.u32 %r5, [mail]; mov.u32 %r6, 77; @!%p1 st.shared::cluster.u32 [%r5], %r6; )" +
      kSync + "@%p1 ld.shared.u32 %r7, [mine]; @%p1 st.global.u32 [%rd0], %r7;"));
  const std::uint64_t to = machine.allocate(4);
  machine.launch(shape_of({2, 1, 1}, {1, 1, 1}, {2, 1, 1}), {to});
  CHECK(machine.download<std::uint32_t>(to, 1)[0] == 77);
}

TEST_CASE("the cluster's barrier: lanes apart, threads that have exited, an arrival long before") {
  // Odd lanes arrive elsewhere than even ones; block 1's threads exit at once; the others' second
  // round counts without them.
  Machine machine(module_of(R"(
    .shared .align 4 .b32 sum; ld.param.u64 %rd0, [p0]; mov.u32 %r1, %tid.x; mov.u32 %r2, %cluster_ctarank; mov.u32 %r3, 0;
    st.shared.u32 [sum], %r3; and.b32 %r4, %r1, 1; setp.eq.u32 %p1, %r4, 0; @%p1 bra EVEN;
    barrier.cluster.arrive.release; barrier.cluster.wait.acquire; bra MET;
    EVEN: barrier.cluster.arrive; barrier.cluster.wait;
    MET: setp.eq.u32 %p2, %r2, 1; @%p2 exit;
    mapa.shared::cluster.u32 %r5, sum, %r3; red.shared::cluster.add.u32 [%r5], %r1;
    barrier.cluster.arrive.aligned; mul.lo.u32 %r6, %r1, 3; barrier.cluster.wait.aligned;
    ld.shared::cluster.u32 %r7, [%r5]; mad.lo.u32 %r8, %r2, 64, %r1; mul.wide.u32 %rd1, %r8, 4; add.u64 %rd1, %rd0, %rd1;
    st.global.u32 [%rd1], %r7; barrier.cluster.arrive.relaxed; barrier.cluster.wait;)"));
  const std::uint64_t to = machine.upload(std::vector<std::uint32_t>(256));
  under_each_schedule([&] {
    machine.launch(shape_of({4, 1, 1}, {64, 1, 1}, {4, 1, 1}), {to});
    const auto values = machine.download<std::uint32_t>(to, 256);
    for (std::uint32_t i = 0; i < 256; ++i) CHECK(values[i] == (i / 64 == 1 ? 0 : 3 * 2016));
  });
}

TEST_CASE("what a cluster must not do, each beside what it may") {
  struct Wrong {
    const char* name;
    const char* body;
    CUresult code;  // success: the sound twin
    std::vector<const char*> parts;
  };
  // %r1 thread, %r2 rank; `at` is a word of shared memory, %r3 its address in rank 1.
  const std::string head =
      ".shared .align 4 .b32 at; mov.u32 %r1, %tid.x; mov.u32 %r2, %cluster_ctarank; st.shared.u32 "
      "[at], %r1;\n"
      "mov.u32 %r9, 1; mapa.shared::cluster.u32 %r3, at, %r9; setp.eq.u32 %p1, %r2, 0; setp.lt.u32 "
      "%p2, %r1, 32;\n";
  const std::vector<Wrong> wrongs = {
      {"a block that has not started",
       "ld.shared::cluster.u32 %r4, [%r3];",
       CUDA_ERROR_ILLEGAL_ADDRESS,
       {"the cluster's block 1, which has not started"}},
      {"a block that has exited",
       "barrier.cluster.arrive; barrier.cluster.wait; @!%p1 exit; mov.u32 %r5, 0; L: nanosleep.u32 "
       "20; add.u32 %r5, %r5, 1;"
       "setp.lt.u32 %p3, %r5, 500; mov.u32 %r6, 0; @%p3 bra L; ld.shared::cluster.u32 %r4, [%r3];",
       CUDA_ERROR_ILLEGAL_ADDRESS,
       {"the cluster's block 1, which has exited"}},
      {"its twin waits",
       "barrier.cluster.arrive; barrier.cluster.wait; ld.shared::cluster.u32 %r4, [%r3]; "
       "barrier.cluster.arrive; "
       "barrier.cluster.wait;",
       CUDA_SUCCESS,
       {}},
      {"beyond the block",
       "barrier.cluster.arrive; barrier.cluster.wait; ld.shared::cluster.u32 %r4, [%r3+64];",
       CUDA_ERROR_ILLEGAL_ADDRESS,
       {"shared::cluster address 0x40440", "cluster's 2 blocks"}},
      {"a rank that is not there",
       "mapa.shared::cluster.u32 %r4, at, 2;",
       CUDA_ERROR_ILLEGAL_INSTRUCTION,
       {"block 2 of a cluster of 2"}},
      {"another block's memory as one's own",
       "barrier.cluster.arrive; barrier.cluster.wait; @%p1 ld.shared.u32 %r4, [%r3];",
       CUDA_ERROR_ILLEGAL_ADDRESS,
       {"outside the block's"}},
      {"an address that is not shared",
       "mov.u64 %rd1, 4096; mapa.u64 %rd2, %rd1, %r9;",
       CUDA_ERROR_ILLEGAL_ADDRESS,
       {"0x1000 is not in the shared memory"}},
      {"a wait without an arrival",
       "barrier.cluster.wait;",
       CUDA_ERROR_LAUNCH_FAILED,
       {"without an arrival"}},
      {"two arrivals",
       "barrier.cluster.arrive; barrier.cluster.arrive;",
       CUDA_ERROR_LAUNCH_FAILED,
       {"once more before it has completed"}},
      {"an arrival and a wait each time",
       "barrier.cluster.arrive; barrier.cluster.wait; barrier.cluster.arrive; "
       "barrier.cluster.wait;",
       CUDA_SUCCESS,
       {}},
      {"a warp that never arrives",
       "@%p2 bra S; bar.sync 1, 64; S: barrier.cluster.arrive.aligned; "
       "barrier.cluster.wait.aligned;",
       CUDA_ERROR_LAUNCH_FAILED,
       {"waits that can never complete", "block 0 warp 0 at barrier.cluster (2 of 4 warps arrived",
        "block 0 warp 1 at barrier 1 (32 of 64 threads"}},
      {"lanes at different barriers",
       "and.b32 %r4, %r1, 1; setp.eq.u32 %p3, %r4, 0; @%p3 bra S; barrier.cluster.arrive; bra E; "
       "S: barrier.sync 1; E:",
       CUDA_ERROR_LAUNCH_FAILED,
       {"at another barrier, on line"}},
      {"an aligned one where lanes are apart",
       "and.b32 %r4, %r1, 1; setp.eq.u32 %p3, %r4, 0; @%p3 bra S; barrier.cluster.arrive.aligned; "
       "bra E; "
       "S: barrier.cluster.arrive.aligned; E:",
       CUDA_ERROR_LAUNCH_FAILED,
       {"wait for each other at different warp-synchronous instructions"}},
  };
  for (const Wrong& wrong : wrongs) {
    CAPTURE(std::string(wrong.name));
    const Ending ending =
        ending_of(module_of(head + wrong.body), shape_of({2, 1, 1}, {64, 1, 1}, {2, 1, 1}));
    CAPTURE(ending.message);
    CHECK(ending.code == wrong.code);
    for (const char* part : wrong.parts) {
      CHECK(ending.message.find(part) != std::string::npos);
    }
  }
}
