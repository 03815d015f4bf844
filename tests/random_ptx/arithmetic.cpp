#include "arithmetic.hpp"

#include <cmath>
#include <string>

#include "floats.hpp"
#include "integers.hpp"

namespace octavo::emulator::random_ptx {
namespace {

using ptx::Instruction;
using ptx::Type;

// -1, 0, 1, or 2 for unordered.
int order(const Instruction& instruction, Type type, std::uint64_t a, std::uint64_t b) {
  if (is_float(type)) {
    const bool ftz = instruction.has("ftz");
    const double x = number_of(a, type, ftz), y = number_of(b, type, ftz);
    if (std::isnan(x) || std::isnan(y)) return 2;
    return x < y ? -1 : x > y;
  }
  const Wide x = value_of(a, type), y = value_of(b, type);
  return x < y ? -1 : x > y;
}

}  // namespace

bool compare(const Instruction& instruction, std::uint64_t a, std::uint64_t b) {
  // The compared type is the last: set has two.
  const Type type = instruction.type(1) == Type::none ? instruction.type(0) : instruction.type(1);
  const int o = order(instruction, type, a, b);
  const bool unordered = o == 2;
  struct Operator {
    const char* name;
    bool result;
  };
  const Operator operators[] = {
      {"eq", o == 0},
      {"ne", o == -1 || o == 1},
      {"lt", o == -1},
      {"le", o <= 0},
      {"gt", o == 1},
      {"ge", o == 0 || o == 1},
      {"lo", o == -1},
      {"ls", o <= 0},
      {"hi", o == 1},
      {"hs", o == 0 || o == 1},
      {"equ", o == 0 || unordered},
      {"neu", o != 0},
      {"ltu", o == -1 || unordered},
      {"leu", o <= 0 || unordered},
      {"gtu", o == 1 || unordered},
      {"geu", o >= 0},
      {"num", !unordered},
      {"nan", unordered},
  };
  for (const Operator& row : operators)
    if (instruction.has(row.name)) return row.result;
  return false;
}

std::optional<std::uint64_t> evaluate(const Instruction& instruction, Sources s) {
  const std::string& opcode = instruction.opcode;
  if (opcode == "mov" || opcode == "cvta") return s[0];
  if (opcode == "selp") return s[2] ? s[0] : s[1];
  if (opcode == "slct") {
    const bool first = instruction.type(1) == Type::f32
                           ? number_of(s[2], Type::f32, instruction.has("ftz")) >= 0
                           : value_of(s[2], Type::s32) >= 0;
    return first ? s[0] : s[1];
  }
  if (opcode == "set")
    return !compare(instruction, s[0], s[1])  ? 0
           : instruction.type(0) == Type::f32 ? 0x3F800000
                                              : ~std::uint64_t{0};
  if (opcode == "cvt") {
    // A destination register may be wider than the type: the value is extended into it.
    const Type to = instruction.type();
    const std::uint64_t bits = convert(instruction, s[0]);
    return is_float(to) ? bits : static_cast<std::uint64_t>(value_of(bits, to));
  }
  return is_float(instruction.type()) ? evaluate_float(instruction, s)
                                      : evaluate_integer(instruction, s);
}

}  // namespace octavo::emulator::random_ptx
