#include "arithmetic.hpp"

#include <cmath>
#include <string>
#include <vector>

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

// The same of one half, if it is an instruction on pairs.
Instruction half_of(const Instruction& instruction) {
  Instruction half = instruction;
  for (std::string& modifier : half.modifiers)
    if (modifier == "f16x2" || modifier == "bf16x2") modifier.resize(modifier.size() - 2);
  return half;
}

std::optional<std::uint64_t> evaluate_pair(const Instruction& instruction, Sources s) {
  const Instruction half = half_of(instruction);
  // The first source is the upper half.
  if (half.opcode == "cvt") return convert(half, s[0]) << 16 | (convert(half, s[1]) & 0xFFFF);
  std::vector<std::uint64_t> low, high;
  for (const std::uint64_t source : s) {
    low.push_back(source & 0xFFFF);
    high.push_back(source >> 16 & 0xFFFF);
  }
  const auto upper = evaluate(half, high), lower = evaluate(half, low);
  if (!upper || !lower) return std::nullopt;
  return *upper << 16 | (*lower & 0xFFFF);
}

}  // namespace

bool is_pair(Type type) { return type == Type::f16x2 || type == Type::bf16x2; }

bool compare_halves(const Instruction& instruction, std::uint64_t a, std::uint64_t b, int half) {
  return compare(half_of(instruction), a >> 16 * half & 0xFFFF, b >> 16 * half & 0xFFFF);
}

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
  if (is_pair(instruction.type())) return evaluate_pair(instruction, s);
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
           : instruction.type(0) == Type::f16 ? 0x3C00
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
