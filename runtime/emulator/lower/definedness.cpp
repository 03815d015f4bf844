// Which registers may be undefined, and what an undefined value came from.
#include <fmt/core.h>

#include <algorithm>

#include "lower/compile.hpp"
#include "lower/graph.hpp"

namespace octavo::emulator::lower {
namespace {

// Whether the instruction reads memory that may hold nothing: shared and local memory, and what
// lies there for the parameters and results of calls.
bool loads_undefined(const Graph& graph, const Step& step) {
  const auto& instruction = step.instruction;
  const std::string& opcode = instruction.opcode;
  if (opcode == "wgmma") return instruction.has("mma_async");
  if (opcode != "ld" && opcode != "ldu" && opcode != "atom" && opcode != "ldmatrix") return false;
  if (instruction.has("global") || instruction.has("const")) return false;
  const auto address = std::find_if(
      instruction.operands.begin(), instruction.operands.end(),
      [](const ptx::Operand& operand) { return operand.kind == ptx::Operand::Kind::address; });
  if (address == instruction.operands.end() || address->has_reg) return true;
  const Place* place = graph.find_place(step.function, address->text);
  return place == nullptr || place->kind != Place::Kind::parameter;
}

// What the step makes a fault where it is undefined is defined from there on.
void settle(const Step& step, RegisterSet& undefined) {
  const auto& instruction = step.instruction;
  const std::string& opcode = instruction.opcode;
  if (opcode == "bra" && instruction.guarded) undefined[instruction.guard] = false;
  if (opcode != "ld" && opcode != "st" && opcode != "atom" && opcode != "red") return;
  for (const ptx::Operand& operand : instruction.operands) {
    if (operand.kind != ptx::Operand::Kind::address || !operand.has_reg) continue;
    undefined[instruction.guarded ? instruction.guard : operand.reg] = false;
  }
}

// A step's effect on the registers that may be undefined; `derived` also counts what is computed
// from them or loaded, not only what was never written.
void apply(const Graph& graph, const Step& step, bool derived, RegisterSet& undefined) {
  bool any = derived && loads_undefined(graph, step);
  if (derived) {
    settle(step, undefined);
    visit_registers(
        step, [&](ptx::RegisterId reg) { any = any || undefined[reg]; }, [](ptx::RegisterId) {});
  }
  visit_registers(
      step, [](ptx::RegisterId) {},
      [&](ptx::RegisterId reg) {
        undefined[reg] = any || (step.instruction.guarded && undefined[reg]);
      });
  if (!is_call(step)) return;
  for (const std::uint32_t callee : step.callees) undefined[graph.return_register[callee]] = false;
}

// By block: the registers that may be undefined where it begins.
std::vector<RegisterSet> undefined_at_entry(const Graph& graph, bool derived) {
  std::vector<RegisterSet> in(graph.blocks.size(),
                              RegisterSet(static_cast<unsigned>(graph.registers.size())));
  in[0].set();
  std::vector<std::uint32_t> pending{0};
  std::vector<bool> is_pending(graph.blocks.size()), reached(graph.blocks.size());
  while (!pending.empty()) {
    const std::uint32_t b = pending.back();
    pending.pop_back();
    is_pending[b] = false;
    reached[b] = true;
    const BasicBlock& block = graph.blocks[b];
    RegisterSet state = in[b];
    for (std::uint32_t s = block.first; s < block.last; ++s)
      apply(graph, graph.steps[s], derived, state);
    for (const std::uint32_t next : block.successors) {
      RegisterSet arrives = state;
      arrives &= graph.blocks[next].live_in;
      const bool changed = !reached[next] || arrives.test(in[next]);
      in[next] |= arrives;
      if (!changed || is_pending[next]) continue;
      is_pending[next] = true;
      pending.push_back(next);
    }
  }
  return in;
}

}  // namespace

void find_undefined(Graph& graph) {
  const std::vector<RegisterSet> in = undefined_at_entry(graph, true);
  graph.mask_slots.assign(graph.registers.size(), kNoSlot);
  // Registers that share a slot share its mask's slot.
  std::unordered_map<std::uint32_t, std::uint32_t> mask_of_slot;
  for (std::size_t b = 0; b < graph.blocks.size(); ++b) {
    BasicBlock& block = graph.blocks[b];
    block.undefined_in = in[b];
    for (const unsigned r : in[b].set_bits()) {
      if (!block.live_in[r] || graph.mask_slots[r] != kNoSlot) continue;
      const auto offset = graph.slot_bytes + 4 * static_cast<std::uint32_t>(mask_of_slot.size());
      graph.mask_slots[r] = mask_of_slot.try_emplace(graph.slots[r], offset).first->second;
    }
  }
  graph.slot_bytes += (4 * static_cast<std::uint32_t>(mask_of_slot.size()) + 63) / 64 * 64;
}

std::string undefined_origin(const ptx::Module& module, const ptx::Function& kernel, int line,
                             const std::vector<int>& loads) {
  Graph graph = build_graph(module, kernel);
  assign_slots(graph);
  const std::vector<RegisterSet> unwritten = undefined_at_entry(graph, false);
  // The registers that the line's operands were computed from, and the lines that loaded them.
  std::vector<bool> contributes(graph.registers.size()), loaded_at(graph.steps.size());
  std::string never_written;
  bool changed = true;
  while (changed) {
    changed = false;
    for (std::size_t b = 0; b < graph.blocks.size(); ++b) {
      RegisterSet state = unwritten[b];
      for (std::uint32_t s = graph.blocks[b].first; s < graph.blocks[b].last; ++s) {
        const Step& step = graph.steps[s];
        bool counts = step.instruction.line == line;
        visit_registers(
            step, [](ptx::RegisterId) {},
            [&](ptx::RegisterId reg) { counts = counts || contributes[reg]; });
        if (counts) {
          loaded_at[s] = loads_undefined(graph, step);
          visit_registers(
              step,
              [&](ptx::RegisterId reg) {
                changed = changed || !contributes[reg];
                contributes[reg] = true;
                if (state[reg] && never_written.empty()) never_written = graph.registers[reg].name;
              },
              [](ptx::RegisterId) {});
        }
        apply(graph, step, false, state);
      }
    }
  }
  for (auto load = loads.rbegin(); load != loads.rend(); ++load) {
    for (std::size_t s = 0; s < graph.steps.size(); ++s) {
      const ptx::Instruction& instruction = graph.steps[s].instruction;
      if (!loaded_at[s] || instruction.line != *load) continue;
      return fmt::format("line {} ({}) read it from memory where nothing was written", *load,
                         spelling(instruction));
    }
  }
  if (!never_written.empty()) return "register " + never_written + " was never written";
  return "it comes from memory where nothing was written";
}

}  // namespace octavo::emulator::lower
