// Text that is not PTX: one line that says where and what was expected; no crash, hang or flood.
#include <doctest/doctest.h>

#include <chrono>

#include "parse.hpp"

namespace octavo::emulator::ptx {
namespace {

struct Case {
  const char* body;
  std::string fault;
};

TEST_CASE("faults inside a kernel name line and expectation") {
  const Case cases[] = {
      {"mov.b32 %r1, 1;", "line 5: `%r1`: expected a declared register"},
      {"\nbra nowhere;", "line 6: `nowhere`: expected a label of this function"},
      {"ret", "line 6: `}`: expected an operand"},
      {".reg .b32 x; .reg .b32 x;", "line 5: `x`: expected a name not declared yet in this scope"},
      {"L: L: ret;", "line 5: `L`: expected a name not declared yet in this scope"},
      {".reg .b32 %r<99999999999>;",
       "line 5: `99999999999`: expected a number of registers below 2^32"},
      {".reg .b32 x; mov.b32 x, 0f123;", "line 5: `0f123`: expected 8 hexadecimal digits after it"},
      {".reg .b32 x; mov.b32 x, 08;", "line 5: `08`: expected a number of at most 64 bits"},
      {".reg .b32 x; mov.b32 x, 1/0;", "line 5: division by zero: expected another divisor"},
      {".reg .b32 x; mov.b32 x, missing;", "line 5: `missing`: expected a declared name"},
      {".reg .b32 x; ld.b32 x, [%tid.x];",
       "line 5: `[`: expected a register, a variable or an integer as address"},
      {".extern .shared .align 16 .b8 a[];",
       "line 5: `.extern`: expected declarations of extern variables before functions"},
      {".reg .f32 x; neg.f32 x, !x;", "line 5: `!`: expected a predicate"},
      {".shared .align 3 .b8 a[4];", "line 5: .align: expected a power of two"},
      {".shared .b64 a[1099511627776];", "line 5: `a`: expected at most 2^40 bytes"},
      {"call (r), f, (a);", "line 5: `r`: expected a name that this function declares"},
      {"#", "line 5: `#`: expected PTX"},
      {"/* never", "line 5: `/*`: expected a closing `*/`"},
      {".pragma \"never\n;", "line 5: `\"never`: expected a closing quote"},
      {".nonsense 3;", "line 5: `.nonsense`: expected an instruction or a declaration"},
      {".local .b32 a = {1};", "line 5: `{`: expected a value or a name"},
      {".local .b32 a[1] = {1, 2};",
       "line 5: `a`: expected at most 4 bytes of initial values, not 8"},
  };
  for (const Case& c : cases) {
    CAPTURE(std::string(c.body));
    CHECK(fault_of(in_kernel(c.body)) == c.fault);
  }
}

TEST_CASE("faults of a module") {
  CHECK(fault_of("") == "line 1: end of text: expected `.version` first");
  CHECK(fault_of("\x7f"
                 "ELF\x02\x01") == "line 1: `?`: expected PTX");
  CHECK(fault_of(".version 8 .target sm_90") == "line 1: .version: expected a number such as 8.5");
  CHECK(fault_of(".version 8.5\n.entry k() {}") ==
        "line 2: `.entry`: expected `.target` after `.version`");
  CHECK(fault_of(in_module(".entry k() { ret; }\n.entry k() { ret; }")) ==
        "line 5: `k`: expected a name not declared yet");
  CHECK(fault_of(in_module(".entry k() { ret;")) == "line 4: end of text: expected `}`");
  CHECK(fault_of(in_module(".global .texref t;")) ==
        "line 4: `.texref`: expected a type, .align or .ptr");
  CHECK(fault_of(in_module(".global .u32 a = b;")) ==
        "line 4: an address: expected a variable of 64-bit elements");
  CHECK(fault_of(in_module(".global .u64 a = b;")) == "line 4: `b`: expected a declared name");
}

// Each of these is cheap to write and would be dear to a parser that trusts it.
TEST_CASE("hostile text is refused at once") {
  const auto repeat = [](const std::string& text, int times) {
    std::string result;
    for (int i = 0; i < times; ++i) result += text;
    return result;
  };
  const auto start = std::chrono::steady_clock::now();
  CHECK(fault_of(in_kernel(repeat("{", 1000000))) ==
        "line 5: `{`: expected less deeply nested scopes");
  CHECK(fault_of(in_kernel(".reg .b32 x; mov.b32 x, " + repeat("(", 1000000))) ==
        "line 5: `(`: expected a less deeply nested expression");
  CHECK(fault_of(in_kernel(".reg .b32 x; mov.b32 x, " + repeat("-", 1000000))) ==
        "line 5: `-`: expected a less deeply nested expression");
  CHECK(fault_of(in_kernel(".reg .b32 x; mov.b32 x, " + repeat("1?", 1000000))) ==
        "line 5: `1`: expected a less deeply nested expression");
  CHECK(fault_of(in_kernel("mov.b32 " + repeat("a", 1000000))).find("a shorter name") !=
        std::string::npos);
  CHECK(fault_of(in_kernel(".reg .b32 x; mov.b32 " + repeat("{", 1000000))) ==
        "line 5: `{`: expected an operand");
  CHECK(fault_of(in_kernel(".shared .b8 a" + repeat("[1]", 100) + ";")) ==
        "line 5: `1`: expected fewer dimensions");
  CHECK(fault_of(in_module(".global .b8 a[9][1000000000] = {{1},{2}};")) ==
        "line 4: `,`: expected smaller initialisers");
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(5));
}

TEST_CASE("every prefix of a program parses or is a fault") {
  const std::string text = in_kernel(
      ".reg .pred %p<2>; .reg .b32 %r<4>; .reg .b64 %rd<2>; .shared .align 8 .b8 s[8];\n"
      "ld.param.u64 %rd1, [k_param_0+-0];\n@%p1 bra $L1;\n{ call (s), k, (s); }\n"
      "$L1: mov.b32 %r1, {%r2, _}; shfl.sync.bfly.b32 %r1|%p1, %r2, 0x1f, 0b1, 1.5e3;");
  for (std::size_t length = 0; length < text.size(); ++length) {
    const std::string fault = fault_of(text.substr(0, length));
    CAPTURE(length);
    CHECK(fault != "wrong code");
    if (fault != "no fault") CHECK(fault.starts_with("line "));
  }
  CHECK(fault_of(text) == "no fault");
}

}  // namespace
}  // namespace octavo::emulator::ptx
