// Which registers outlive a block, and where in the frame they wait.
#include <algorithm>

#include "lower/graph.hpp"

namespace octavo::emulator::lower {
namespace {

struct Effects {
  RegisterSet reads_first;  // read before the block writes them
  RegisterSet writes;       // written whatever the guards say
};

Effects effects_of(const Graph& graph, const BasicBlock& block) {
  const auto registers = static_cast<unsigned>(graph.registers.size());
  Effects effects{RegisterSet(registers), RegisterSet(registers)};
  if (block.members != nullptr && block.members->kind == ptx::Operand::Kind::reg) {
    effects.reads_first[block.members->reg] = true;
  }
  const auto read = [&](ptx::RegisterId reg) {
    if (!effects.writes[reg]) effects.reads_first[reg] = true;
  };
  for (std::uint32_t s = block.first; s < block.last; ++s) {
    const Step& step = graph.steps[s];
    visit_registers(step, read, [&](ptx::RegisterId reg) {
      // A guarded write keeps the old value in the other lanes, which is a read of it.
      if (step.instruction.guarded) read(reg);
    });
    if (step.instruction.opcode == "ret") read(graph.return_register[step.function]);
    if (is_call(step)) {
      // The call keeps its function's return address before it writes that of the callee.
      if (!step.saved.empty()) read(graph.return_register[step.function]);
      for (const std::uint32_t callee : step.callees) {
        effects.writes[graph.return_register[callee]] = true;
      }
    }
    if (step.instruction.guarded) continue;
    visit_registers(
        step, [](ptx::RegisterId) {}, [&](ptx::RegisterId reg) { effects.writes[reg] = true; });
  }
  return effects;
}

void find_live(Graph& graph) {
  std::vector<Effects> effects;
  std::vector<std::vector<std::uint32_t>> predecessors(graph.blocks.size());
  for (std::uint32_t b = 0; b < graph.blocks.size(); ++b) {
    BasicBlock& block = graph.blocks[b];
    effects.push_back(effects_of(graph, block));
    block.live_in = effects.back().reads_first;
    block.live_out.resize(block.live_in.size());
    for (const std::uint32_t next : block.successors) predecessors[next].push_back(b);
  }
  std::vector<std::uint32_t> pending(graph.blocks.size());
  std::vector<bool> is_pending(graph.blocks.size(), true);
  for (std::uint32_t b = 0; b < pending.size(); ++b) pending[b] = b;
  while (!pending.empty()) {
    const std::uint32_t b = pending.back();
    pending.pop_back();
    is_pending[b] = false;
    BasicBlock& block = graph.blocks[b];
    for (const std::uint32_t next : block.successors) block.live_out |= graph.blocks[next].live_in;
    RegisterSet through = block.live_out;
    through.reset(effects[b].writes);
    if (!through.test(block.live_in)) continue;  // nothing that was not known
    block.live_in |= through;
    for (const std::uint32_t before : predecessors[b]) {
      if (is_pending[before]) continue;
      is_pending[before] = true;
      pending.push_back(before);
    }
  }
}

struct Slot {
  std::uint32_t offset, bytes;
  std::vector<std::uint64_t> taken;  // a bit per boundary: block 2b's begin, 2b+1 its end
};

// A call that may come back to its own function keeps on the stack what its function needs after
// it.
void find_saved(Graph& graph) {
  for (const BasicBlock& block : graph.blocks) {
    const std::uint32_t s = block.last - 1;
    Step& call = graph.steps[s];
    if (!is_call(call) || call.saved.empty()) continue;
    const RegisterSet& live =
        graph.blocks[static_cast<std::size_t>(&block - graph.blocks.data()) + 1].live_in;
    call.saved.clear();
    std::uint32_t bytes = 0;
    for (ptx::RegisterId r = graph.first_register[call.function];
         r <= graph.return_register[call.function]; ++r) {
      if (!live[r]) continue;
      call.saved.push_back(r);
      bytes += saved_bytes(graph.registers[r]);
    }
    graph.steps[s + 1].saved = call.saved;
    Frame& frame = graph.frames[call.function];
    frame.bytes = std::max(frame.bytes, (frame.variable_bytes + bytes + 15) / 16 * 16);
  }
}

}  // namespace

std::uint32_t saved_bytes(const ptx::Register& reg) {
  return reg.type == ptx::Type::pred ? 4 : static_cast<std::uint32_t>(ptx::bytes_of(reg.type));
}

void assign_slots(Graph& graph) {
  find_live(graph);
  find_saved(graph);
  const std::size_t words = (graph.blocks.size() * 2 + 63) / 64;
  std::vector<std::vector<std::uint64_t>> at(graph.registers.size());
  const auto mark = [&](const RegisterSet& live, std::size_t boundary) {
    std::uint32_t total = 0;
    for (const unsigned r : live.set_bits()) {
      if (at[r].empty()) at[r].resize(words);
      at[r][boundary / 64] |= std::uint64_t{1} << (boundary % 64);
      if (graph.registers[r].type != ptx::Type::pred) {
        total += (static_cast<std::uint32_t>(ptx::bytes_of(graph.registers[r].type)) + 3) / 4;
      }
    }
    graph.live_registers = std::max(graph.live_registers, total);
  };
  for (std::size_t b = 0; b < graph.blocks.size(); ++b) {
    mark(graph.blocks[b].live_in, 2 * b);
    mark(graph.blocks[b].live_out, 2 * b + 1);
  }
  graph.slots.assign(graph.registers.size(), kNoSlot);
  std::vector<Slot> slots;
  for (std::size_t r = 0; r < at.size(); ++r) {
    if (at[r].empty()) continue;
    const ptx::Type type = graph.registers[r].type;
    const auto bytes =
        32 * (type == ptx::Type::pred ? 4 : static_cast<std::uint32_t>(ptx::bytes_of(type)));
    const auto fits = [&](const Slot& slot) {
      if (slot.bytes != bytes) return false;
      for (std::size_t w = 0; w < words; ++w) {
        if ((slot.taken[w] & at[r][w]) != 0) return false;
      }
      return true;
    };
    auto slot = std::find_if(slots.begin(), slots.end(), fits);
    if (slot == slots.end()) {
      slots.push_back({graph.slot_bytes, bytes, std::vector<std::uint64_t>(words)});
      slot = std::prev(slots.end());
      graph.slot_bytes += (bytes + 63) / 64 * 64;
    }
    for (std::size_t w = 0; w < words; ++w) slot->taken[w] |= at[r][w];
    graph.slots[r] = slot->offset;
  }
}

}  // namespace octavo::emulator::lower
