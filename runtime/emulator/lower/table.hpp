// The instruction table: one row per opcode, or per opcode and the modifiers that make it another.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "ptx/ast.hpp"

namespace octavo::emulator::lower {

class Emitter;
struct Step;

// How an instruction stands to the other lanes of its warp and to the flow of control.
enum class Flow : std::uint8_t {
  plain,
  members,  // waits for the lanes of the member mask in its last operand
  aligned,  // waits for every live lane of the warp
  settles,  // likewise, and changes registers in the frame: begins a block
  ends,     // the last of its basic block
};

struct Row {
  std::string_view opcode;  // "add", "bar.red"
  // What else may follow the opcode, in any order, separated by spaces.
  std::string_view modifiers;
  // One letter an operand: d destination, D destination with an optional second one ("d|p"), u
  // destination that is a source too, s source, m memory operand, l label or name. What follows '?'
  // may be left out.
  std::string_view operands;
  Flow flow;
  void (*lower)(Emitter& emitter, const Step& step);
};

std::span<const Row> instruction_table();

// Throws Fault, naming line and text, for an instruction that the table does not have: its opcode,
// a modifier, or a wrong number or kind of operands.
const Row& check(const ptx::Instruction& instruction);

// Whether kernels with this instruction need execute/shadow.hpp.
bool is_asynchronous(const ptx::Instruction& instruction);

// addc, subc, madc.
bool reads_carry(const ptx::Instruction& instruction);

// Whether its destination is a source too.
inline bool is_updated(const Row& row) { return row.operands.starts_with('u'); }

// Whether the instruction writes its i-th operand.
bool is_destination(const Row& row, const ptx::Instruction& instruction, std::size_t i);

}  // namespace octavo::emulator::lower
