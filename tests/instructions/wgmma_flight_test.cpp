// wgmmas in flight: what may be done with their accumulators meanwhile, and what may not.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <random>

#include "wgmma_kernel.hpp"

using namespace octavo::emulator;
using namespace octavo::emulator::test;

TEST_CASE("wgmma in flight: chains, groups, moves and loops") {
  check_value(kStart + small_wgmma() + kEnd, 16);
  check_value(kStart + small_wgmma() + small_wgmma() + small_wgmma() + kEnd, 48);
  check_value(kStart + small_wgmma() + kCommit + small_wgmma() + kCommit +
                  "wgmma.wait_group.sync.aligned 1;\n" + small_wgmma() + kEnd,
              48);
  check_value(kStart + "setp.eq.u32 %q, %t0, %t0;\n" + small_wgmma() +
                  small_wgmma("{%c0, %c1, %c2, %c3}", "0x1000080140", "%no") + kEnd,
              16);
  // Accumulators move while in flight, and come back.
  check_value(kStart + small_wgmma() + kCommit +
                  "mov.b32 %t4, %c0; mov.b32 %t5, %c1; mov.b32 %t6, %c2; mov.b32 %t7, %c3;\n" +
                  small_wgmma("{%t4, %t5, %t6, %t7}") + kEnd +
                  "mov.b32 %c0, %t4; mov.b32 %c1, %t5; mov.b32 %c2, %t6; mov.b32 %c3, %t7;\n",
              32);
  // Through a loop's back-edge, with a divergent detour in it.
  check_value(kStart + "mov.u32 %r1, 5;\nLOOP:\n" + small_wgmma() + kCommit +
                  "setp.lt.u32 %p1, %t0, 7; @%p1 bra SKIP; add.u32 %r2, %r1, 1; SKIP:\n"
                  "sub.u32 %r1, %r1, 1; setp.ne.u32 %p2, %r1, 0; @%p2 bra LOOP;\n" +
                  kWait,
              80);
  // The older of two groups may be used while the younger is in flight.
  check_value(kStart + small_wgmma() + kCommit +
                  "mov.b32 %t4, 0; mov.b32 %t5, 0; mov.b32 %t6, 0; mov.b32 %t7, 0;\n" +
                  small_wgmma("{%t4, %t5, %t6, %t7}") + kCommit +
                  "wgmma.wait_group.sync.aligned 1;\n"
                  "add.f32 %c0, %c0, 0f3F800000; add.f32 %c1, %c1, 0f3F800000;\n"
                  "add.f32 %c2, %c2, 0f3F800000; add.f32 %c3, %c3, 0f3F800000;\n" +
                  kWait,
              17);
}

namespace {

// A sound program of wgmmas, commits, waits, moves and additions in random order, on three sets of
// four accumulators, and the value that each set ends with.
struct RandomProgram {
  static constexpr int kSets = 3, kSteps = 40;
  static constexpr int kSettled = -1;
  std::string text = kStart;
  float values[kSets] = {};
  int ages[kSets] = {kSettled, kSettled, kSettled};  // groups committed since the wgmma's issue
  bool fenced = true;

  explicit RandomProgram(unsigned seed) {
    std::mt19937 random(seed);
    for (int i = 0; i < kSteps; ++i)
      step(random, static_cast<int>(random() % kSets), static_cast<int>(random() % kSets));
    commit();
    wait(0);
  }

  static std::string set(int s) {
    return fmt::format("{{%c{}, %c{}, %c{}, %c{}}}", 4 * s, 4 * s + 1, 4 * s + 2, 4 * s + 3);
  }

  void step(std::mt19937& random, int s, int other) {
    switch (random() % 8) {
      case 0:
        return commit();
      case 1:
        return wait(static_cast<int>(random() % 3));
      case 2:
      case 3:
        for (int r = 0; r < 4; ++r)
          text += fmt::format("mov.b32 %c{}, %c{};\n", 4 * other + r, 4 * s + r);
        values[other] = values[s];
        ages[other] = ages[s];
        return;
      case 4:
        if (ages[s] != kSettled) return;
        for (int r = 0; r < 4; ++r)
          text += fmt::format("add.f32 %c{0}, %c{0}, 0f3F800000;\n", 4 * s + r);
        values[s] += 1;
        fenced = false;
        return;
      default:
        if (!fenced) text += kFence;
        fenced = true;
        const bool accumulates = random() % 4 != 0;
        text += small_wgmma(set(s).c_str(), "0x1000080140", accumulates ? "%yes" : "%no");
        values[s] = (accumulates ? values[s] : 0) + 16;
        ages[s] = 0;
    }
  }

  void commit() {
    text += kCommit;
    for (int& age : ages)
      if (age != kSettled) ++age;
  }

  void wait(int pending) {
    text += fmt::format("wgmma.wait_group.sync.aligned {};\n", pending);
    for (int& age : ages)
      if (age > pending) age = kSettled;
  }
};

}  // namespace

TEST_CASE("wgmma: random programs of accumulators in flight") {
  for (unsigned seed = 0; seed < 30; ++seed) {
    CAPTURE(seed);
    const RandomProgram program(seed);
    Machine machine(kernel(4 * RandomProgram::kSets, 8192, program.text));
    const std::uint64_t ones = machine.upload(std::vector<std::uint16_t>(4096, 0x3C00));
    const std::uint64_t zeros = machine.upload(std::vector<std::uint32_t>(128 * 12));
    const std::uint64_t out = machine.upload(std::vector<std::uint32_t>(128 * 12, 0xDEADBEEF));
    under_every_order([&](std::string_view) {
      machine.launch({}, {128, 1, 1}, {ones, zeros, zeros, out}, 8192);
      const auto words = machine.download<std::uint32_t>(out, 128 * 12);
      for (std::size_t i = 0; i < words.size(); ++i)
        REQUIRE(words[i] == f(program.values[i / 512]));
    });
  }
}

TEST_CASE("wgmma: registers that are touched too early") {
  const char* early = "before the wgmma.wait_group of its wgmma";
  const std::string issue = kStart + small_wgmma();
  check_fault(issue + kCommit + "add.f32 %c0, %c0, %c0;\n" + kWait, {early, "line "},
              Shows::in_flight);
  check_fault(issue + kCommit + "st.global.b32 [%x5], %c3;\n" + kWait, {early}, Shows::in_flight);
  check_fault(issue + kWait, {early}, Shows::in_flight);  // the group was never committed
  check_fault(issue + kCommit + "mov.b32 %t4, %c1; cvt.rn.f16.f32 %h1, %t4;\n" + kWait, {early},
              Shows::in_flight);
  check_fault(issue + kCommit + small_wgmma("{%t4, %t5, %t6, %t7}") + kCommit +
                  "wgmma.wait_group.sync.aligned 1; add.f32 %t4, %t4, %t4;\n" + kWait,
              {early}, Shows::in_flight);
  check_fault(issue + kCommit + "ld.global.b32 %c2, [%x3];\n" + kWait, {early}, Shows::in_flight);
  check_fault(issue + kCommit +
                  "mov.u32 %r1, 0;\nLOOP: setp.eq.u32 %p1, %r1, 1;\n@%p1 add.f32 %c0, "
                  "%c0, %c0;\nadd.u32 %r1, %r1, 1; setp.lt.u32 %p2, %r1, 2; @%p2 bra LOOP;\n" +
                  kWait,
              {early}, Shows::in_flight);
}
