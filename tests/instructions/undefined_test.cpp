// What was never written may be copied and computed with, but not stored to global memory, and not
// decide an address or a branch.
#include <doctest/doctest.h>

#include "harness.hpp"

using namespace octavo::emulator;
using namespace octavo::emulator::test;

namespace {

// 32 threads; %r40 is the lane, %rd11 its 8 bytes of output, %r41 its 4 bytes of s.
constexpr const char* kBefore =
    ".shared .align 16 .b8 s[1024]; .local .align 16 .b8 l[64];\n"
    "mov.u32 %r40, %tid.x; ld.param.u64 %rd10, [p0]; mul.wide.u32 %rd11, %r40, 8; "
    "add.u64 %rd11, %rd11, %rd10; mov.u32 %r42, s; shl.b32 %r41, %r40, 2; add.u32 %r41, %r41, "
    "%r42; setp.lt.u32 %p10, %r40, 16;\n";

struct Undefined {
  const char* body;
  std::vector<const char*> says;  // empty: it is no fault
};

void check(const Undefined& test) {
  Machine machine(module_of(std::string(kBefore) + test.body));
  std::string message;
  try {
    machine.launch({}, {32, 1, 1}, {machine.allocate(4096)});
  } catch (const Fault& fault) {
    message = fault.what();
  }
  CHECK_MESSAGE(message.empty() == test.says.empty(), std::string(test.body) << ": " << message);
  CHECK(message.find('\n') == std::string::npos);
  for (const char* part : test.says) {
    CHECK_MESSAGE(message.find(part) != std::string::npos, message << " lacks " << part);
  }
}

}  // namespace

TEST_CASE("undefined values are faults where they matter, with both places") {
  const Undefined tests[] = {
      // A register.
      {"st.global.u32 [%rd11], %r5;",
       {"line 10: st.global.u32 [%rd11], %r5", "lane 0: stores an undefined value",
        "register %r5 was never written"}},
      {"add.u32 %r6, %r5, 1;\nmul.lo.u32 %r7, %r6, 3;\nst.global.u32 [%rd11], %r7;",
       {"line 12", "register %r5 was never written"}},
      {"@%p10 mov.u32 %r5, 1;\nst.global.u32 [%rd11], %r5;",
       {"line 11", "lane 16: stores", "register %r5 was never written"}},
      {"@%p10 bra A; mov.u32 %r5, 1; A:\nst.global.u32 [%rd11], %r5;", {"line 11", "lane 0: "}},
      {"ld.global.u32 %r1, [%rd5];", {"the address is undefined", "register %rd5"}},
      {"@%p5 bra A; A:", {"the branch depends on an undefined value", "register %p5"}},
      {"@%p5 st.global.u32 [%rd11], %r40;",
       {"the predicate that guards it is undefined", "register %p5"}},
      {"red.global.add.u32 [%rd11], %r5;", {"stores an undefined value", "register %r5"}},
      {"mov.u32 %r1, 0; LOOP: add.u32 %r5, %r5, 1; add.u32 %r1, %r1, 1; setp.lt.u32 %p1, %r1, 4; "
       "@%p1 bra LOOP;\nst.global.u32 [%rd11], %r5;",
       {"line 11", "register %r5 was never written"}},
      {"addc.u32 %r1, 1, 2; st.global.u32 [%rd11], %r1;", {"register CC.CF"}},
      // Shared and local memory.
      {"ld.shared.u32 %r1, [%r41];\nst.global.u32 [%rd11], %r1;",
       {"line 11: st.global.u32 [%rd11], %r1", "lane 0: stores an undefined value",
        "line 10 (ld.shared.u32) read it from memory where nothing was written"}},
      {"@%p10 st.shared.u32 [%r41], 7;\nld.shared.u32 %r1, [%r41];\nst.global.u32 [%rd11], %r1;",
       {"line 12", "lane 16", "line 11 (ld.shared.u32)"}},
      {"ld.shared.v4.u32 {%r1, %r2, %r3, %r4}, [%r42];\nst.global.u32 [%rd11], %r3;",
       {"line 10 (ld.shared.v4.u32)"}},
      {"ld.local.u64 %rd1, [l+8];\nst.global.u64 [%rd11], %rd1;", {"line 10 (ld.local.u64)"}},
      {"cvta.local.u64 %rd1, l; mov.u64 %rd2, l; cvta.local.u64 %rd2, %rd2;\nld.u32 %r1, "
       "[%rd2+4];\nst.global.u32 [%rd11], %r1;",
       {"line 11 (ld.u32)"}},
      {"ld.shared.u32 %r1, [%r41];\nsetp.eq.u32 %p1, %r1, 0;\n@%p1 bra A; A:",
       {"line 12", "the branch depends", "line 10 (ld.shared.u32)"}},
      {"ld.shared.u32 %r1, [%r41];\nst.shared.u32 [%r1], 0;", {"line 11", "the address is"}},
      {"ld.shared.u32 %r1, [%r41];\nst.shared.u32 [%r41+128], %r1;\nld.shared.u32 %r2, "
       "[%r41+128];\nst.global.u32 [%rd11], %r2;",
       {"line 13", "line 12 (ld.shared.u32)"}},
      {"ld.shared.u32 %r1, [%r41];\nld.shared.u32 %r2, [%r41+128];\nst.global.u32 [%rd11], %r1;",
       {"line 10 (ld.shared.u32)"}},
      {"ld.shared.u32 %r1, [%r41];\nshfl.sync.bfly.b32 %r2, %r1, 1, 31, -1; st.global.u32 [%rd11], "
       "%r2;",
       {"line 10 (ld.shared.u32)"}},
      {"mov.u32 %r1, 1; @%p10 ld.shared.u32 %r1, [%r41];\nvote.sync.ballot.b32 %r2, %p5, -1;"
       "st.global.u32 [%rd11], %r2;",
       {"register %p5"}},
      {"atom.shared.add.u32 %r1, [%r41], 1;\nst.global.u32 [%rd11], %r1;",
       {"line 10 (atom.shared.add.u32)"}},
      {"ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r1}, [%r42];\nst.global.u32 [%rd11], %r1;",
       {"line 10 (ldmatrix"}},
  };
  for (const Undefined& test : tests) check(test);
}

TEST_CASE("what is undefined and does not matter is no fault") {
  const Undefined tests[] = {
      {"add.u32 %r6, %r5, 1; st.shared.u32 [%r41], %r6;", {}},
      {"ld.shared.v4.u32 {%r1, %r2, %r3, %r4}, [%r42]; st.shared.v4.u32 [%r42+512], {%r1, %r2, "
       "%r3, %r4};",
       {}},
      {"@%p10 mov.u32 %r5, 1; @%p10 st.global.u32 [%rd11], %r5;", {}},
      {"@%p10 mov.u32 %r5, 1; selp.u32 %r6, %r5, 2, %p10; st.global.u32 [%rd11], %r6;", {}},
      {"@%p10 mov.u32 %r5, 1; @!%p10 mov.u32 %r5, 2; st.global.u32 [%rd11], %r5;", {}},
      {"@%p10 mov.u32 %r5, 1; @!%p10 bra A; st.global.u32 [%rd11], %r5; A:", {}},
      {"setp.ne.u32 %p1, %r40, %r40; and.pred %p2, %p1, %p5; @%p2 bra A; A:", {}},
      {"or.pred %p1, %p10, %p5; @%p10 bra B; bra C; B: @%p1 bra A; A: C:", {}},
      {"and.b32 %r6, %r5, 0; st.global.u32 [%rd11], %r6;", {}},
      // Halves of a register are padding, until they are all that is stored.
      {"mov.u16 %h1, 3; mov.b32 %r6, {%h1, %h2}; st.global.u32 [%rd11], %r6;", {}},
      {"st.shared.u16 [%r41], 5; ld.shared.u32 %r1, [%r41]; and.b32 %r2, %r1, 65535; "
       "st.global.u32 [%rd11], %r2;",
       {}},
      {"@%p10 st.shared.u32 [%r41], 7; ld.shared.u32 %r1, [%r41]; shfl.sync.idx.b32 %r2, %r1, 3, "
       "31, -1; st.global.u32 [%rd11], %r2;",
       {}},
      {"atom.shared.exch.b32 %r1, [%r41], 9; ld.shared.u32 %r2, [%r41]; st.global.u32 [%rd11], "
       "%r2;",
       {}},
      {"st.local.u64 [l+8], %rd11; ld.local.u64 %rd1, [l+8]; st.global.u64 [%rd11], %rd1;", {}},
      {"cp.async.ca.shared.global [%r41], [%rd10], 4; cp.async.wait_all; ld.shared.u32 %r1, "
       "[%r41]; "
       "st.global.u32 [%rd11], %r1;",
       {}},
      {"st.shared.u32 [%r41], %r40; stmatrix.sync.aligned.m8n8.x1.shared.b16 [%r42], {%r40}; "
       "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r1}, [%r42]; st.global.u32 [%rd11], %r1;",
       {}},
  };
  for (const Undefined& test : tests) check(test);
}

// A's rows 1 and 10, B's column 3 and C's element (5, 6) are undefined: so are these rows, this
// column and this element of D, and nothing else.
TEST_CASE("a matrix product is undefined where its row, column or addend is") {
  std::string body =
      "shr.u32 %r30, %r40, 2; and.b32 %r31, %r40, 3;\n"
      "setp.ne.u32 %p1, %r30, 1; setp.ne.u32 %p2, %r30, 2; setp.ne.u32 %p3, %r30, 3;\n"
      "setp.ne.u32 %p4, %r40, 23;\n"
      "@%p1 mov.u32 %r1, 0; @%p2 mov.u32 %r2, 0; mov.u32 %r3, 0; mov.u32 %r4, 0; mov.u32 %r5, 0;\n"
      "@%p3 mov.u32 %r6, 0; @%p4 mov.f32 %f0, 0f00000000; mov.f32 %f1, 0f00000000;\n"
      "mov.f32 %f2, 0f00000000; mov.f32 %f3, 0f00000000;\n"
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%f0, %f1, %f2, %f3}, {%r1, %r2, %r3, "
      "%r4}, {%r5, %r6}, {%f0, %f1, %f2, %f3};\n"
      "ld.param.u32 %r20, [p1]; ld.param.u32 %r21, [p2]; setp.eq.u32 %p5, %r40, %r20;\n"
      "@!%p5 exit;\n";
  for (int i = 0; i < 4; ++i) {
    body += "setp.eq.u32 %p6, %r21, " + std::to_string(i) + "; @%p6 st.global.f32 [%rd11], %f" +
            std::to_string(i) + ";\n";
  }
  Machine machine(module_of(kBefore + body));
  const std::uint64_t out = machine.allocate(4096);
  for (std::uint64_t lane = 0; lane < 32; ++lane) {
    for (std::uint64_t i = 0; i < 4; ++i) {
      const std::uint64_t row = lane / 4 + 8 * (i / 2), column = lane % 4 * 2 + i % 2;
      const bool undefined = row == 1 || row == 10 || column == 3 || (row == 5 && column == 6);
      bool faulted = false;
      try {
        machine.launch({}, {32, 1, 1}, {out, lane, i});
      } catch (const Fault&) {
        faulted = true;
      }
      CHECK_MESSAGE(faulted == undefined, "row " << row << ", column " << column);
    }
  }
}
