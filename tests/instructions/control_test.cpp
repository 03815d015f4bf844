// Divergence, calls, barriers, and what lanes and blocks exchange.
#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <numeric>

#include "harness.hpp"

using namespace octavo::emulator;
using namespace octavo::emulator::test;

namespace {

// Runs the body with p0 = results (one u32 a thread, at %rd0 + 4 * thread, in %rd1) and %r1 = the
// thread.
std::vector<std::uint32_t> run(const std::string& body, Dim3 grid, Dim3 block,
                               std::uint32_t shared = 0, const std::string& before = "") {
  const std::string head =
      "ld.param.u64 %rd0, [p0]; mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ntid.x; "
      "mad.lo.u32 %r2, %r2, %r3, %r1; mul.wide.u32 %rd1, %r2, 4; add.u64 %rd1, %rd0, %rd1;\n";
  Machine machine(module_of(head + body, before));
  const std::size_t threads = std::size_t{grid.x} * block.x;
  const std::uint64_t results = machine.upload(std::vector<std::uint32_t>(threads));
  machine.launch(grid, block, {results}, shared);
  return machine.download<std::uint32_t>(results, threads);
}

}  // namespace

TEST_CASE("loops with a trip count for each lane, nested branches and early exits") {
  // Collatz steps of thread + 1; multiples of 5 exit before they store.
  const auto steps = run(R"(
    add.u32 %r4, %r1, 1; mov.u32 %r5, 0;
    rem.u32 %r6, %r1, 5; setp.eq.u32 %p1, %r6, 0; @%p1 exit;
    LOOP: setp.eq.u32 %p2, %r4, 1; @%p2 bra DONE;
    add.u32 %r5, %r5, 1; and.b32 %r7, %r4, 1; setp.eq.u32 %p3, %r7, 0; @%p3 bra EVEN;
    mad.lo.u32 %r4, %r4, 3, 1; bra.uni LOOP;
    EVEN: shr.u32 %r4, %r4, 1; bra.uni LOOP;
    DONE: st.global.u32 [%rd1], %r5;)",
                         {}, {70, 1, 1});
  for (std::uint32_t thread = 0; thread < 70; ++thread) {
    std::uint32_t n = thread + 1, expected = 0;
    for (; n != 1; ++expected) n = n % 2 == 0 ? n / 2 : 3 * n + 1;
    CHECK(steps[thread] == (thread % 5 == 0 ? 0 : expected));
  }
}

TEST_CASE("brx.idx and guarded instructions") {
  const auto values = run(R"(
    and.b32 %r4, %r1, 3; mov.u32 %r5, 7;
    TS: .branchtargets L0, L1, L2, L3;
    brx.idx %r4, TS;
    L0: mov.u32 %r5, 10; bra END;
    L1: mov.u32 %r5, 11; bra END;
    L2: mov.u32 %r5, 12;
    L3: setp.gt.u32 %p1, %r1, 15; @!%p1 add.u32 %r5, %r5, 100;
    END: st.global.u32 [%rd1], %r5;)",
                          {}, {32, 1, 1});
  for (std::uint32_t t = 0; t < 32; ++t) {
    const std::uint32_t base[] = {10, 11, 12, 7};
    CHECK(values[t] == base[t % 4] + (t % 4 >= 2 && t <= 15 ? 100 : 0));
  }
}

TEST_CASE("functions, called from two places by lanes that parted") {
  const auto values = run(
      R"(
    { .param .b32 a; .param .b32 r; setp.lt.u32 %p1, %r1, 9; @%p1 bra FEW;
    st.param.b32 [a], %r1; call (r), twice, (a); ld.param.b32 %r4, [r]; bra END;
    FEW: add.u32 %r5, %r1, 100; st.param.b32 [a], %r5; call (r), twice, (a); ld.param.b32 %r4, [r];
    END: st.global.u32 [%rd1], %r4; })",
      {}, {32, 1, 1}, 0,
      ".func (.param .b32 out) twice(.param .b32 in) { .reg .b32 %a<3>; ld.param.b32 %a1, [in]; "
      "add.u32 %a1, %a1, %a1; st.param.b32 [out], %a1; ret; }");
  for (std::uint32_t t = 0; t < 32; ++t) CHECK(values[t] == 2 * (t < 9 ? t + 100 : t));
}

TEST_CASE("bar.sync: a block's sum through shared memory, the last warp partial") {
  const auto values = run(R"(
    mov.u32 %r4, buffer; shl.b32 %r5, %r1, 2; add.u32 %r6, %r4, %r5; st.shared.u32 [%r6], %r1;
    bar.sync 0; mov.u32 %r7, 0; mov.u32 %r8, 0;
    LOOP: ld.shared.u32 %r9, [%r4]; add.u32 %r7, %r7, %r9; add.u32 %r4, %r4, 4; add.u32 %r8, %r8, 1;
    setp.lt.u32 %p1, %r8, %r3; @%p1 bra LOOP; st.global.u32 [%rd1], %r7;)",
                          {3, 1, 1}, {100, 1, 1}, 400, ".extern .shared .align 16 .b8 buffer[];");
  for (const std::uint32_t value : values) CHECK(value == 4950);
}

TEST_CASE("named barriers: producers arrive, consumers wait") {
  const auto values = run(R"(
    .shared .align 4 .b32 box; setp.ge.u32 %p1, %r1, 32; @%p1 bra CONSUMER;
    mov.u32 %r4, 42; st.shared.u32 [box], %r4; bar.arrive 3, 64; bra END;
    CONSUMER: bar.sync 3, 64; ld.shared.u32 %r4, [box];
    END: st.global.u32 [%rd1], %r4;)",
                          {}, {64, 1, 1});
  for (const std::uint32_t value : values) CHECK(value == 42);
}

TEST_CASE("bar.red") {
  const auto values = run(R"(
    setp.lt.u32 %p1, %r1, 40; bar.red.popc.u32 %r4, 0, %p1; bar.red.and.pred %p2, 0, %p1;
    bar.red.or.pred %p3, 0, %p1; selp.u32 %r5, 1000, 0, %p2; selp.u32 %r6, 100, 0, %p3;
    add.u32 %r4, %r4, %r5; add.u32 %r4, %r4, %r6; st.global.u32 [%rd1], %r4;)",
                          {}, {64, 1, 1});
  for (const std::uint32_t value : values) CHECK(value == 140);
}

TEST_CASE("shuffles") {
  const auto shuffle = [](const std::string& form) {
    return run("add.u32 %r4, %r1, 100; mov.u32 %r9, 0; shfl.sync." + form +
                   ", 0xffffffff; @%p1 add.u32 %r5, %r5, 1000; st.global.u32 [%rd1], %r5;",
               {}, {32, 1, 1});
  };
  const auto up = shuffle("up.b32 %r5|%p1, %r4, 3, 0"),
             down = shuffle("down.b32 %r5|%p1, %r4, 3, 31");
  const auto bfly = shuffle("bfly.b32 %r5|%p1, %r4, 5, 31"),
             idx = shuffle("idx.b32 %r5|%p1, %r4, 2, 0x181f");
  for (std::uint32_t t = 0; t < 32; ++t) {
    CHECK(up[t] == (t >= 3 ? 1100 + t - 3 : 100 + t));
    CHECK(down[t] == (t + 3 < 32 ? 1100 + t + 3 : 100 + t));
    CHECK(bfly[t] == 1100 + (t ^ 5));
    CHECK(idx[t] == 1100 + (t / 8 * 8 + 2));
  }
}

TEST_CASE("votes, matches, reductions, election; among half a warp where lanes parted") {
  const auto half = run(R"(
    setp.ge.u32 %p1, %r1, 16; @%p1 bra HIGH;
    and.b32 %r4, %r1, 1; setp.eq.u32 %p2, %r4, 1; vote.sync.ballot.b32 %r5, %p2, 0xffff; bra END;
    HIGH: shr.u32 %r4, %r1, 2; match.any.sync.b32 %r5, %r4, 0xffff0000;
    END: bar.warp.sync 0xffffffff; redux.sync.add.u32 %r6, %r1, 0xffffffff; add.u32 %r5, %r5, %r6;
    elect.sync _|%p3, 0xffffffff; @%p3 add.u32 %r5, %r5, 1; st.global.u32 [%rd1], %r5;)",
                        {}, {32, 1, 1});
  for (std::uint32_t t = 0; t < 32; ++t) {
    CHECK(half[t] == (t < 16 ? 0xAAAAu : 0xFu << (t / 4 * 4)) + 496 + (t == 0));
  }
}

TEST_CASE("a warp's lanes that wait in a loop for another lane let it run") {
  const auto values = run(R"(
    .shared .align 4 .b32 flag; setp.ne.u32 %p1, %r1, 31; mov.u32 %r4, 0; st.shared.u32 [flag], %r4;
    bar.warp.sync 0xffffffff; @!%p1 bra SET;
    WAIT: ld.volatile.shared.u32 %r5, [flag]; setp.eq.u32 %p2, %r5, 0; @%p2 bra WAIT; bra END;
    SET: mov.u32 %r5, 9; st.volatile.shared.u32 [flag], %r5;
    END: st.global.u32 [%rd1], %r5;)",
                          {}, {32, 1, 1});
  for (const std::uint32_t value : values) CHECK(value == 9);
}

TEST_CASE("blocks that wait for a later block") {
  // Every block counts itself in and waits until all have: more blocks than host threads.
  Machine machine(module_of(R"(
    ld.param.u64 %rd0, [p0]; mov.u32 %r1, %nctaid.x; atom.global.add.u32 %r2, [%rd0], 1;
    WAIT: ld.acquire.gpu.global.u32 %r3, [%rd0]; setp.lt.u32 %p1, %r3, %r1; @%p1 bra WAIT;)"));
  const std::uint64_t counter = machine.upload(std::vector<std::uint32_t>{0});
  machine.launch({40, 1, 1}, {1, 1, 1}, {counter});
  CHECK(machine.download<std::uint32_t>(counter, 1)[0] == 40);
}

TEST_CASE("atomics") {
  Machine machine(module_of(R"(
    ld.param.u64 %rd0, [p0]; mov.u32 %r1, %tid.x; add.u32 %r2, %r1, 1;
    red.global.add.u32 [%rd0], %r2; atom.global.max.s32 %r3, [%rd0+4], %r1; red.global.or.b32 [%rd0+8], %r2;
    atom.global.inc.u32 %r3, [%rd0+12], 9; mov.f32 %f1, 0f3F000000; red.global.add.f32 [%rd0+16], %f1;
    mov.u32 %r4, 0x3C003C00; red.global.add.noftz.f16x2 [%rd0+20], %r4;
    LOOP: ld.global.u32 %r5, [%rd0+24]; add.u32 %r6, %r5, 2; atom.global.cas.b32 %r7, [%rd0+24], %r5, %r6;
    setp.ne.u32 %p1, %r7, %r5; @%p1 bra LOOP; cvt.u64.u32 %rd1, %r1; atom.global.exch.b64 %rd2, [%rd0+32], %rd1;)"));
  const std::uint64_t words = machine.upload(std::vector<std::uint32_t>(10));
  machine.launch({4, 1, 1}, {64, 1, 1}, {words});
  const auto values = machine.download<std::uint32_t>(words, 10);
  CHECK(values[0] == 4 * 2080);
  CHECK(values[1] == 63);
  CHECK(values[2] == 0x7F);
  CHECK(values[3] == 256 % 10);
  CHECK(values[4] == f(128));
  CHECK(values[5] == 0x5C005C00);
  CHECK(values[6] == 512);
  CHECK(values[8] < 64);
}

TEST_CASE("cp.async copies, with zeros where the source ends") {
  Machine machine(module_of(R"(
    .shared .align 16 .b8 tile[1024]; ld.param.u64 %rd0, [p0]; ld.param.u64 %rd1, [p1]; mov.u32 %r1, %tid.x;
    shl.b32 %r2, %r1, 4; mov.u32 %r3, tile; add.u32 %r3, %r3, %r2; cvt.u64.u32 %rd2, %r2; add.u64 %rd3, %rd0, %rd2;
    mov.u32 %r4, 8; cp.async.cg.shared.global [%r3], [%rd3], 16; cp.async.commit_group;
    cp.async.ca.shared.global [%r3+512], [%rd3], 16, %r4; cp.async.commit_group;
    cp.async.wait_group 1; ld.shared.u32 %r6, [%r3+4]; cp.async.wait_all; ld.shared.v4.u32 {%r8, %r9, %r10, %r11}, [%r3+512];
    add.u64 %rd4, %rd1, %rd2; st.global.v4.u32 [%rd4], {%r8, %r6, %r10, %r9}; st.global.u32 [%rd4+512], %r11;)"));
  std::vector<std::uint32_t> source(128);
  std::iota(source.begin(), source.end(), 0u);
  const std::uint64_t to = machine.allocate(1024);
  machine.launch({}, {32, 1, 1}, {machine.upload(source), to});
  const auto values = machine.download<std::uint32_t>(to, 256);
  for (std::uint32_t t = 0; t < 32; ++t) {
    CHECK(values[4 * t] == 4 * t);
    CHECK(values[4 * t + 1] == 4 * t + 1);
    CHECK(values[4 * t + 2] == 0);
    CHECK(values[4 * t + 3] == 4 * t + 1);
    CHECK(values[4 * t + 128] == 0);
  }
}

TEST_CASE("ldmatrix feeds mma: a product of two small matrices") {
  // A is 16x16 of f16, row-major; B 16x8, column-major (8 rows of 16 in memory).
  Machine machine(module_of(R"(
    .shared .align 16 .b8 a[512]; .shared .align 16 .b8 b[256];
    ld.param.u64 %rd0, [p0]; ld.param.u64 %rd1, [p1]; mov.u32 %r1, %tid.x; shl.b32 %r2, %r1, 4; cvt.u64.u32 %rd2, %r2;
    add.u64 %rd3, %rd0, %rd2; ld.global.v4.u32 {%r4, %r5, %r6, %r7}, [%rd3]; mov.u32 %r8, a; add.u32 %r9, %r8, %r2;
    st.shared.v4.u32 [%r9], {%r4, %r5, %r6, %r7}; setp.lt.u32 %p1, %r1, 16;
    mov.u32 %r10, b; add.u32 %r11, %r10, %r2; @%p1 ld.global.v4.u32 {%r4, %r5, %r6, %r7}, [%rd3+512];
    @%p1 st.shared.v4.u32 [%r11], {%r4, %r5, %r6, %r7}; bar.sync 0;
    and.b32 %r12, %r1, 15; shr.u32 %r13, %r1, 4; shl.b32 %r12, %r12, 5; shl.b32 %r13, %r13, 4;
    add.u32 %r14, %r8, %r12; add.u32 %r14, %r14, %r13;
    ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r20, %r21, %r22, %r23}, [%r14];
    and.b32 %r12, %r1, 7; shl.b32 %r12, %r12, 5; and.b32 %r13, %r1, 8; shl.b32 %r13, %r13, 1;
    add.u32 %r15, %r10, %r12; add.u32 %r15, %r15, %r13;
    ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%r24, %r25}, [%r15]; mov.f32 %f0, 0f3F800000;
    mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%f4, %f5, %f6, %f7}, {%r20, %r21, %r22, %r23}, {%r24, %r25},
      {%f0, %f0, %f0, %f0};
    add.u64 %rd4, %rd1, %rd2; st.global.v4.f32 [%rd4], {%f4, %f5, %f6, %f7};)"));
  const auto half = [](int value) -> std::uint16_t {  // integers up to 3
    constexpr std::uint16_t kBits[] = {0, 0x3C00, 0x4000, 0x4200};
    return kBits[value];
  };
  std::vector<std::uint16_t> matrices(16 * 16 + 8 * 16);
  const auto a = [](int row, int k) { return (row + 2 * k) % 4; };
  const auto b = [](int k, int column) { return (3 * k + column) % 4; };
  for (int i = 0; i < 256; ++i) matrices[static_cast<std::size_t>(i)] = half(a(i / 16, i % 16));
  for (int i = 0; i < 128; ++i)
    matrices[256 + static_cast<std::size_t>(i)] = half(b(i % 16, i / 16));
  const std::uint64_t to = machine.allocate(512);
  machine.launch({}, {32, 1, 1}, {machine.upload(matrices), to});
  const auto values = machine.download<float>(to, 128);
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + (i >= 2 ? 8 : 0), column = lane % 4 * 2 + i % 2;
      float expected = 1;
      for (int k = 0; k < 16; ++k) expected += static_cast<float>(a(row, k) * b(k, column));
      CHECK(values[static_cast<std::size_t>(lane * 4 + i)] == expected);
    }
  }
}

TEST_CASE("a kernel's code is found again on disk") {
  const std::string cache = "/tmp/octavo_instructions_" + std::to_string(getpid());
  const char* before = std::getenv("OCTAVO_CACHE_DIR");
  const std::string saved = before == nullptr ? "" : before;
  setenv("OCTAVO_CACHE_DIR", cache.c_str(), 1);
  const auto entries = [&] {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(cache))
      count += entry.is_regular_file();
    return count;
  };
  const std::string body = "mov.u32 %r4, 77; st.global.u32 [%rd1], %r4;";
  CHECK(run(body, {}, {1, 1, 1})[0] == 77);
  CHECK(entries() == 1);
  CHECK(run(body, {}, {1, 1, 1})[0] == 77);
  CHECK(entries() == 1);
  std::filesystem::remove_all(cache);
  if (before == nullptr)
    unsetenv("OCTAVO_CACHE_DIR");
  else
    setenv("OCTAVO_CACHE_DIR", saved.c_str(), 1);
}

TEST_CASE("local memory and generic addresses") {
  const auto values = run(R"(
    .local .align 8 .b8 own[32]; .shared .align 8 .b64 box;
    mov.u64 %rd2, own; cvta.local.u64 %rd3, %rd2; and.b32 %r4, %r1, 7; mul.wide.u32 %rd4, %r4, 4;
    add.u64 %rd5, %rd3, %rd4; st.u32 [%rd5], %r1; add.u64 %rd6, %rd2, %rd4; ld.local.u32 %r5, [%rd6];
    mov.u64 %rd7, box; cvta.shared.u64 %rd8, %rd7; isspacep.shared %p1, %rd8; isspacep.local %p2, %rd5;
    isspacep.global %p3, %rd0; and.pred %p1, %p1, %p2; and.pred %p1, %p1, %p3; @%p1 add.u32 %r5, %r5, 1000;
    st.u32 [%rd8], %r5; bar.sync 0; st.u32 [%rd1], %r5;)",
                          {}, {32, 1, 1});
  for (std::uint32_t t = 0; t < 32; ++t) CHECK(values[t] == 1000 + t);
}
