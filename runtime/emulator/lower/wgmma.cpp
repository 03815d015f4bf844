// wgmma and what orders it; execute/wgmma.hpp says how its accumulators are in flight.
#include "execute/wgmma.hpp"

#include <algorithm>
#include <cstdio>

#include "lower/emitter.hpp"
#include "lower/families.hpp"
#include "lower/matrix.hpp"

namespace octavo::emulator::lower {
namespace {

using llvm::Value;
using ptx::Operand;
using tensor_core::Major;

constexpr int kFragmentRegisters = 4;  // of A

WgmmaCode code_of(Emitter& e) {
  const auto& instruction = e.instruction();
  WgmmaCode code;
  int k = 0;
  for (const auto& modifier : instruction.modifiers)
    if (modifier.starts_with("m64n")) std::sscanf(modifier.c_str(), "m64n%dk%d", &code.shape.n, &k);
  code.shape.accumulator = accumulator_of(instruction, 0);
  code.shape.a = element_of(instruction, 1);
  code.shape.b = element_of(instruction, 2);
  if (!exists(code.shape) || k != code.shape.k())
    refuse(instruction, "there is no wgmma of this shape and these types");
  code.saturate = instruction.has("satfinite");
  if (code.saturate && code.shape.accumulator != tensor_core::Accumulator::s32)
    reject(instruction, ".satfinite is for integers");
  code.a_in_registers = instruction.operands[1].kind == Operand::Kind::vector;
  return code;
}

// The constants after scale-d: the signs of floating-point A and B, and of 16-bit types whether
// they are mn-major, which A in registers cannot be.
void read_immediates(Emitter& e, WgmmaCode& code) {
  const auto& instruction = e.instruction();
  const auto& operands = instruction.operands;
  std::size_t next = 4;
  const auto take = [&](std::int64_t zero, std::int64_t one, const char* what) {
    if (next >= operands.size()) reject(instruction, "has too few operands");
    const Operand& operand = operands[next++];
    const auto value = static_cast<std::int64_t>(static_cast<std::int32_t>(operand.bits));
    if (operand.kind != Operand::Kind::immediate || (value != zero && value != one))
      reject(instruction, what);
    return value == one;
  };
  if (code.shape.accumulator != tensor_core::Accumulator::s32) {
    constexpr const char* kScale = "imm-scale-a and imm-scale-b must be 1 or -1";
    code.negate_a = take(1, -1, kScale);
    code.negate_b = take(1, -1, kScale);
  }
  if (bytes_of(code.shape.a) == 2) {
    constexpr const char* kTranspose = "imm-trans-a and imm-trans-b must be 0 or 1";
    if (!code.a_in_registers && take(0, 1, kTranspose)) code.a_major = Major::mn;
    if (take(0, 1, kTranspose)) code.b_major = Major::mn;
  }
  if (next != operands.size()) reject(instruction, "has too many operands");
}

Value* descriptor(Emitter& e, std::size_t i) {
  e.require_defined(e.undefined_lanes(e.instruction().operands[i]), Use::address, e.running());
  return e.spill(e.source(i, 64));
}

// Of the registers of D: where their row of A is undefined, in registers, or what is added to.
std::vector<Value*> undefined_accumulators(Emitter& e, bool halves, Value* accumulates) {
  auto& ir = e.ir();
  const auto& operands = e.instruction().operands;
  Value* rows[2] = {e.number(0), e.number(0)};
  if (operands[1].kind == Operand::Kind::vector) {
    for (std::size_t i = 0; i < operands[1].elements.size(); ++i)
      rows[i % 2] = e.either(rows[i % 2], e.undefined_lanes(operands[1].elements[i]));
  }
  for (Value*& row : rows) {  // four lanes hold it
    if (llvm::isa<llvm::Constant>(row)) continue;
    row = ir.CreateOr(row, ir.CreateLShr(row, 1));
    row = ir.CreateOr(row, ir.CreateLShr(row, 2));
    row = ir.CreateMul(ir.CreateAnd(row, 0x11111111), e.number(15));
  }
  std::vector<Value*> masks;
  for (const Operand& part : operands[0].elements) {
    Value* row = rows[(halves ? masks.size() : masks.size() / 2) % 2];
    masks.push_back(e.either(row, e.both(e.undefined_lanes(part), accumulates)));
  }
  return masks;
}

}  // namespace

void lower_wgmma(Emitter& e, const Step& step) {
  const auto& instruction = e.instruction();
  const auto& operands = instruction.operands;
  if (e.compute_capability() != 90 || e.graph().module->target != "sm_90a")
    refuse(instruction, "needs .target sm_90a, on a device of compute capability 9.0");
  WgmmaCode code = code_of(e);
  read_immediates(e, code);
  const Operand& d = operands[0];
  const auto registers = static_cast<std::size_t>(code.shape.accumulator_registers());
  if (d.kind != Operand::Kind::vector || d.elements.size() != registers)
    reject(instruction, "the destination has " + std::to_string(registers) + " registers");
  std::vector<Value*> c;
  for (const Operand& part : d.elements) {
    if (part.kind != Operand::Kind::reg) reject(instruction, "the destination must be registers");
    c.push_back(e.source(part, 32));
  }
  Value* room = e.spill(c);
  Value* a = nullptr;
  if (code.a_in_registers) {
    std::vector<Value*> parts;
    for (const Operand& part : operands[1].elements) parts.push_back(e.source(part, 32));
    if (parts.size() != kFragmentRegisters) reject(instruction, "A has four registers");
    a = e.spill(parts);
  } else {
    a = descriptor(e, 1);
  }
  Value* b = descriptor(e, 2);
  Value* accumulates = e.ballot(e.source_predicate(operands[3]));
  e.require_defined(e.undefined_lanes(operands[3]), Use::operand, e.running());
  const auto undefined = undefined_accumulators(
      e, code.shape.accumulator == tensor_core::Accumulator::f16, accumulates);
  Value* in_memory = e.room_for_masks(static_cast<unsigned>(registers));
  e.mark_line();
  e.call("octavo_wgmma",
         {e.warp(), e.number(code.pack()), room, a, b, accumulates, e.fragment(step.fragments[0]),
          step.fragments.size() > 1 ? e.fragment(step.fragments[1]) : e.null(), in_memory});
  for (unsigned i = 0; i < registers; ++i) {
    e.set_undefined(e.either(undefined[i], e.fetch_mask(in_memory, i)));
    e.write(d.elements[i], e.fetch(room, 32, i));
  }
}

void lower_wgmma_fence(Emitter& e, const Step&) {
  e.call("octavo_wgmma_fence", {e.warp(), e.fragment(0), e.number(e.graph().fragment_sets)});
}

void lower_wgmma_commit(Emitter& e, const Step&) { e.call("octavo_wgmma_commit", {e.warp()}); }

void lower_wgmma_wait(Emitter& e, const Step& step) {
  const Operand& pending = e.instruction().operands[0];
  if (pending.kind != Operand::Kind::immediate)
    reject(e.instruction(), "the number of groups must be a constant");
  std::vector<std::uint32_t> slots;
  for (const ptx::RegisterId reg : step.in_flight) slots.push_back(e.graph().slots[reg]);
  std::sort(slots.begin(), slots.end());
  slots.erase(std::unique(slots.begin(), slots.end()), slots.end());
  e.mark_line();
  e.call("octavo_wgmma_wait",
         {e.warp(), e.frame(), e.table(slots), e.number(static_cast<std::uint32_t>(slots.size())),
          e.number(static_cast<std::uint32_t>(pending.bits))});
}

// --- of all instructions

std::vector<std::uint32_t> Emitter::lines_with_a(ptx::RegisterId reg) const {
  std::vector<std::uint32_t> lines;
  for (const Step& step : graph_.steps) {
    if (step.row->lower != lower_wgmma) continue;
    const auto& elements = step.instruction.operands[1].elements;
    if (std::any_of(elements.begin(), elements.end(),
                    [&](const Operand& element) { return element.reg == reg; }))
      lines.push_back(static_cast<std::uint32_t>(step.instruction.line));
  }
  return lines;
}

void Emitter::check_in_flight() {
  for (const ptx::RegisterId reg : step_->overwrites) {
    mark_line();
    const auto lines = lines_with_a(reg);
    call("octavo_wgmma_overwrite",
         {warp_, mask(), table(lines), number(static_cast<std::uint32_t>(lines.size()))});
  }
  if (step_->row->lower == lower_wgmma_wait || step_->in_flight.empty()) return;
  mark_line();
  for (const ptx::RegisterId reg : step_->in_flight)
    call("octavo_wgmma_check", {warp_, mask(), spill(read_register(reg))});
}

void Emitter::note_fragments() {
  if (step_->row->lower == lower_wgmma) return;
  Value* line = ir_.getInt32(static_cast<std::uint32_t>(instruction().line));
  for (const std::uint32_t set : step_->fragments) {
    Value* at = fragment(set);
    Value* written = line;
    if (instruction().guarded) {
      written = ir_.CreateSelect(ir_.CreateICmpNE(mask(), ir_.getInt32(0)), line,
                                 ir_.CreateLoad(ir_.getInt32Ty(), at));
    }
    ir_.CreateStore(written, at);
  }
}

}  // namespace octavo::emulator::lower
