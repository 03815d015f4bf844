// Modules: directives, variables and their values, scopes.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "parse.hpp"

namespace octavo::emulator::ptx {
namespace {

TEST_CASE("header and a kernel's directives") {
  const Module m = parse(
      "// comment\n/* more\n */ .version 9.0 .target sm_100a, debug .address_size 64\n"
      ".visible .entry k(.param .align 8 .b8 p[120], .param .u64 .ptr .global .align 16 q)\n"
      ".maxntid 128, 2 .minnctapersm 3 .reqntid 64,1,1 .explicitcluster\n"
      ".reqnctapercluster 2, 1, 1 .pragma \"nounroll\"; { ret; }");
  CHECK(m.version_major == 9);
  CHECK(m.version_minor == 0);
  CHECK(m.target == "sm_100a");
  const Function& k = m.functions.at(0);
  CHECK(k.entry);
  CHECK(k.line == 4);
  REQUIRE(k.parameters.size() == 2);
  CHECK(k.parameters[0].bytes == 120);
  CHECK(k.parameters[0].alignment == 8);
  CHECK(k.parameters[0].space == Space::param);
  CHECK(k.parameters[1].bytes == 8);
  CHECK(k.parameters[1].alignment == 8);
  CHECK(k.max_threads[0] == 128);
  CHECK(k.max_threads[1] == 2);
  CHECK(k.max_threads[2] == 1);
  CHECK(k.required_threads[0] == 64);
  CHECK(k.required_cluster[0] == 2);
  CHECK(k.min_blocks == 3);
}

TEST_CASE("variables: arrays, values and addresses in them") {
  const Module m =
      parse(in_module(".extern .shared .align 16 .b8 dynamic[];\n"
                      ".const .align 4 .f32 table[3] = {0f3F800000, 2.5, -1};\n"
                      ".global .align 2 .u16 grid[2][3] = {{1, 2}, {3}};\n"
                      ".global .b8 text[] = {104, 105, 0};\n"
                      ".global .u64 pointers[3] = {text, generic(table)+4, 7};\n"
                      ".global .v4 .f32 v; .global .b8 big[4000000000], one;\n"
                      ".global .s32 negative = -2;"));
  REQUIRE(m.variables.size() == 9);
  CHECK(m.variables[0].external);
  CHECK(m.variables[0].bytes == 0);
  CHECK(m.variables[0].space == Space::shared);
  CHECK(m.variables[1].initial ==
        std::vector<std::uint8_t>{0, 0, 0x80, 0x3F, 0, 0, 0x20, 0x40, 0, 0, 0x80, 0xBF});
  CHECK(m.variables[1].space == Space::constant);
  CHECK(m.variables[2].bytes == 12);
  CHECK(m.variables[2].initial == std::vector<std::uint8_t>{1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0});
  CHECK(m.variables[3].bytes == 3);
  const Variable& pointers = m.variables[4];
  CHECK(pointers.initial.size() == 24);
  CHECK(pointers.initial[16] == 7);
  REQUIRE(pointers.relocations.size() == 2);
  CHECK(pointers.relocations[0].symbol == "text");
  CHECK(pointers.relocations[1].offset == 8);
  CHECK(pointers.relocations[1].symbol == "table");
  CHECK(pointers.relocations[1].addend == 4);
  CHECK(m.variables[5].bytes == 16);
  CHECK(m.variables[5].alignment == 16);
  CHECK(m.variables[6].bytes == 4000000000);
  CHECK(m.variables[7].name == "one");
  CHECK(m.variables[8].initial == std::vector<std::uint8_t>{0xFE, 0xFF, 0xFF, 0xFF});
}

TEST_CASE("nested scopes declare registers and labels again") {
  const Function k = parse_kernel(
      ".reg .b32 x; .reg .pred p;\nmov.b32 x, 1;\n"
      "{ .reg .b32 x; .reg .pred p; L: mov.b32 x, 2; @p bra L; bra E; E: }\n"
      "{ .reg .pred p; L: @p bra L; }\nmov.b32 x, 3; E:");
  REQUIRE(k.body.size() == 6);
  CHECK(k.body[0].operands[0].reg != k.body[1].operands[0].reg);
  CHECK(k.body[0].operands[0].reg == k.body[5].operands[0].reg);
  CHECK(k.body[2].guard != k.body[4].guard);
  REQUIRE(k.labels.size() == 4);
  CHECK(k.body[2].operands[0].text == "L");
  CHECK(k.body[4].operands[0].text == "L.1");
  CHECK(k.body[3].operands[0].text == k.labels[1].name);
  CHECK(k.labels[1].instruction == 4);
  CHECK(k.labels[2].name == "L.1");
  CHECK(k.labels[3].instruction == 6);  // one past the last
}

TEST_CASE("a range of registers is the names that are used of it") {
  const Function k = parse_kernel(
      ".reg .b32 %r<4000000000>, %r1<5>; mov.b32 %r3999999999, %r14; mov.b32 %r3999999999, 0;");
  CHECK(k.registers.size() == 2);
  CHECK(k.body[0].operands[0].reg == k.body[1].operands[0].reg);
}

TEST_CASE("branch targets") {
  const Function k =
      parse_kernel(".reg .b32 %r1;\nT: .branchtargets A, B;\nbrx.idx %r1, T;\nA: ret;\nB: exit;");
  REQUIRE(k.branch_targets.size() == 1);
  CHECK(k.branch_target_names[0] == "T");
  CHECK(k.branch_targets[0] == std::vector<std::string>{"A", "B"});
  CHECK(k.body[0].operands[1].text == "T");
  CHECK(k.labels.size() == 2);
}

TEST_CASE("debug directives say nothing") {
  const Function k =
      parse(in_module(".file 1 \"a \\\" b.cu\", 12, 13\n"
                      ".entry k() {\n.loc 1 2 3, function_name $L__i0, inlined_at 1 4 5\n"
                      "ret;\n.pragma \"nounroll\";\n}\n"
                      ".section .debug_str\n{\n$L__i0:\n.b8 95,90\n.b8 0\n}\n"))
          .functions.at(0);
  REQUIRE(k.body.size() == 1);
  CHECK(k.body[0].line == 7);
}

TEST_CASE("an alias means its function") {
  const Module m =
      parse(in_module(".func other(); .func f() { ret; }\n.alias other, f;\n"
                      ".entry k() { .reg .b64 a; call other; mov.u64 a, other; }"));
  CHECK(m.find("k")->body[0].callee == "f");
  CHECK(m.find("k")->body[1].operands[1].text == "f");
}

TEST_CASE("what compilers printed parses whole") {
  std::size_t files = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(OCTAVO_SOURCE_DIR "/tests/fuzz/corpus/ptx_parser")) {
    if (!entry.path().filename().string().starts_with("compiled_")) continue;
    CAPTURE(entry.path());
    std::ifstream file(entry.path());
    const Module m = parse(std::string(std::istreambuf_iterator<char>(file), {}));
    CHECK_FALSE(m.functions.empty());
    std::size_t instructions = 0;
    for (const Function& function : m.functions) instructions += function.body.size();
    CHECK(instructions > 20);
    ++files;
  }
  CHECK(files >= 3);
}

}  // namespace
}  // namespace octavo::emulator::ptx
