#include "lower/contract_rules.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_map>

#include "lower/graph.hpp"
#include "lower/numbers.hpp"

namespace octavo::emulator::lower {
namespace {

using ptx::Instruction;
using ptx::Operand;
using ptx::Type;

bool names_rounding(const Instruction& instruction) {
  return instruction.has("rn") || rounding_of(instruction) != 0;
}

// A product or sum that ptxas may fuse: pairs of f32 though they say .rn.
bool may_fuse(const Instruction& instruction) {
  const Type type = instruction.type();
  if (type == Type::f32x2) return rounding_of(instruction) == 0;
  return (is_float(type) || is_packed(type)) && !names_rounding(instruction);
}

// Whether ptxas makes more than one basic block of an arithmetic instruction.
bool has_slow_path(const Instruction& instruction) {
  const std::string& opcode = instruction.opcode;
  if (opcode == "rcp" || opcode == "sqrt") return names_rounding(instruction);
  if (opcode != "div" && opcode != "rem") return false;
  if (is_float(instruction.type())) return names_rounding(instruction);
  return instruction.type() != Type::u32;
}

// Whether a basic block of ptxas's ends with the instruction. Where arithmetic has a guard it
// chooses between values; anything else with one becomes a branch.
bool ends_block(const Instruction& instruction, const Row& row) {
  static constexpr std::string_view kEnds[] = {"bra",  "brx",   "call",    "ret",    "exit",
                                               "trap", "brkpt", "pmevent", "membar", "setmaxnreg"};
  if (std::ranges::find(kEnds, instruction.opcode) != std::end(kEnds)) return true;
  if (row.opcode == "fence" && (instruction.has("acq_rel") || instruction.has("sc"))) return true;
  if (instruction.has("launch_dependents") || has_slow_path(instruction)) return true;
  const bool is_arithmetic = row.flow == Flow::plain && is_destination(row, instruction, 0) &&
                             row.operands.find('m') == row.operands.npos &&
                             instruction.opcode != "activemask";
  return instruction.guarded && !is_arithmetic;
}

}  // namespace

bool is_sum(const Instruction& instruction) {
  return (instruction.opcode == "add" || instruction.opcode == "sub") && may_fuse(instruction);
}

bool is_product(const Instruction& instruction) {
  return instruction.opcode == "mul" && may_fuse(instruction) && !instruction.guarded &&
         !instruction.has("sat") && instruction.operands[0].kind == Operand::Kind::reg;
}

bool fit_together(const Instruction& product, const Instruction& sum) {
  return product.type() == sum.type() && product.has("ftz") == sum.has("ftz");
}

bool is_copy(const Instruction& copy, const Instruction& product) {
  if (copy.guarded || copy.operands.size() != 2) return false;
  if (copy.operands[0].kind != Operand::Kind::reg || copy.operands[1].kind != Operand::Kind::reg)
    return false;
  if (copy.opcode == "mov") return true;
  return copy.opcode == "neg" && copy.type() == product.type() && copy.type() != Type::bf16x2 &&
         (!copy.has("ftz") || product.has("ftz"));
}

std::vector<bool> block_begins(const ptx::Function& function, const std::vector<const Row*>& rows) {
  const std::vector<Instruction>& body = function.body;
  std::unordered_map<std::string_view, std::size_t> labels;
  for (const ptx::Label& label : function.labels) labels[label.name] = label.instruction;
  std::vector<bool> begins(body.size() + 1);
  for (const auto& targets : function.branch_targets) {
    for (const std::string& target : targets) begins[labels.at(target)] = true;
  }
  for (std::size_t i = 0; i < body.size(); ++i) {
    const bool jumps = body[i].opcode == "bra";
    const std::size_t target = jumps ? labels.at(body[i].operands[0].text) : i;
    if (jumps && !body[i].guarded && target == i + 1) continue;
    if (jumps) begins[target] = true;
    if (ends_block(body[i], *rows[i])) begins[i + 1] = true;
  }
  return begins;
}

}  // namespace octavo::emulator::lower
