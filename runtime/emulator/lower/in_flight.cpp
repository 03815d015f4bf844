// What a kernel's registers have to do with wgmma. Accumulators are undefined from its issue to its
// wgmma.wait_group, though compilers move them from register to register meanwhile; and what other
// instructions wrote needs a wgmma.fence before it is one's operand. Most uses are shown to be
// sound here; those that are not are checked as they run.
#include <algorithm>
#include <numeric>

#include "lower/families.hpp"
#include "lower/graph.hpp"

namespace octavo::emulator::lower {
namespace {

using Set = std::vector<bool>;

bool is_wgmma(const Step& step) { return step.row->lower == lower_wgmma; }

// A whole register to another: an accumulator in flight may take part.
bool is_move(const Step& step) {
  const auto& instruction = step.instruction;
  if (instruction.opcode != "mov" || instruction.type() == ptx::Type::pred ||
      ptx::bytes_of(instruction.type()) != 4)
    return false;
  const auto& operands = instruction.operands;
  return operands[0].kind == ptx::Operand::Kind::reg && operands[1].kind == ptx::Operand::Kind::reg;
}

void for_registers(const ptx::Operand& operand, const auto& visit) {
  detail::visit_operand(operand, visit);
}

// Grows a set of registers along the moves, forward or backward, until nothing changes.
void follow_moves(const Graph& graph, Set& registers, bool forward) {
  for (bool changed = true; changed;) {
    changed = false;
    for (const Step& step : graph.steps) {
      if (!is_move(step)) continue;
      const auto& operands = step.instruction.operands;
      const ptx::RegisterId from = operands[forward ? 1 : 0].reg,
                            to = operands[forward ? 0 : 1].reg;
      if (!registers[from] || registers[to]) continue;
      registers[to] = changed = true;
    }
  }
}

// How many groups have been committed since a register's wgmma was issued, its own included: the
// fewest of all paths. A wait for all but n groups covers those of more than n.
class Ages {
 public:
  // Of the accumulators, or of A's fragments.
  enum Operand : std::size_t { kAccumulators, kFragment };

  Ages(Graph& graph, Operand operand)
      : graph_(graph), operand_(operand), carries_(graph.registers.size()) {
    for (const Step& step : graph.steps)
      if (is_wgmma(step)) for_own_registers(step, [&](auto reg) { carries_[reg] = true; });
    if (operand == kAccumulators) follow_moves(graph, carries_, true);
  }

  // Fills in Step::in_flight, or Step::overwrites.
  void run() {
    std::vector<State> at(graph_.blocks.size(), State(graph_.registers.size(), kSettled));
    for (bool changed = true; changed;) {
      changed = false;
      for (std::size_t b = 0; b < at.size(); ++b) {
        State state = at[b];
        for (std::uint32_t s = graph_.blocks[b].first; s < graph_.blocks[b].last; ++s)
          pass(graph_.steps[s], state);
        for (const std::uint32_t next : graph_.blocks[b].successors)
          changed = merge(state, at[next]) || changed;
      }
    }
    for (std::size_t b = 0; b < at.size(); ++b) {
      const BasicBlock& block = graph_.blocks[b];
      for (std::uint32_t s = block.first; s < block.last; ++s) {
        note(graph_.steps[s], at[b], block);
        pass(graph_.steps[s], at[b]);
      }
    }
  }

 private:
  using State = std::vector<std::uint8_t>;
  static constexpr std::uint8_t kSettled = 255, kOldest = 254;

  static bool merge(const State& from, State& to) {
    bool changed = false;
    for (std::size_t r = 0; r < to.size(); ++r) {
      changed = changed || from[r] < to[r];
      to[r] = std::min(from[r], to[r]);
    }
    return changed;
  }

  void for_own_registers(const Step& step, const auto& visit) const {
    const ptx::Operand& operand = step.instruction.operands[operand_];
    if (operand.kind == ptx::Operand::Kind::vector) for_registers(operand, visit);
  }

  void pass(const Step& step, State& state) const {
    const auto& instruction = step.instruction;
    if (step.row->lower == lower_wgmma_commit) {
      for (auto& age : state)
        if (age < kOldest) ++age;
    } else if (step.row->lower == lower_wgmma_wait) {
      for (auto& age : state)
        if (age > instruction.operands[0].bits) age = kSettled;
    }
    const std::uint8_t age =
        is_move(step) && operand_ == kAccumulators ? state[instruction.operands[1].reg] : kSettled;
    visit_registers(
        step, [](auto) {},
        [&](ptx::RegisterId reg) {
          if (carries_[reg]) state[reg] = instruction.guarded ? std::min(age, state[reg]) : age;
        });
    if (is_wgmma(step)) for_own_registers(step, [&](auto reg) { state[reg] = 0; });
  }

  // Of a wait, what it settles in the frame; of others, what they may not use, for now or at all.
  void note(Step& step, const State& state, const BasicBlock& block) const {
    const auto add = [&](ptx::RegisterId reg) {
      auto& list = operand_ == kAccumulators ? step.in_flight : step.overwrites;
      if (state[reg] != kSettled && std::find(list.begin(), list.end(), reg) == list.end())
        list.push_back(reg);
    };
    if (operand_ == kFragment) return visit_registers(step, [](auto) {}, add);
    if (is_move(step)) return;
    if (step.row->lower == lower_wgmma_wait) {
      for (ptx::RegisterId reg = 0; reg < carries_.size(); ++reg)
        if (carries_[reg] && block.live_in[reg]) add(reg);
    } else if (is_wgmma(step)) {
      for (std::size_t i = 1; i < step.instruction.operands.size(); ++i)
        for_registers(step.instruction.operands[i], add);
    } else {
      visit_registers(step, add, add);
    }
  }

  Graph& graph_;
  Operand operand_;
  Set carries_;  // registers that what is in flight can be in
};

// The registers of each wgmma, accumulators and fragments of A, as sets: what writes into one of a
// set other than by wgmma needs a fence before the set's next wgmma.
class Fragments {
 public:
  explicit Fragments(Graph& graph) : graph_(graph), parent_(graph.registers.size()) {
    std::iota(parent_.begin(), parent_.end(), ptx::RegisterId{0});
  }

  // Fills in Step::fragments and numbers the sets.
  void run() {
    Set members(graph_.registers.size());
    for_operands([&](const Step&, const ptx::Operand& operand) {
      for_registers(operand, [&](ptx::RegisterId reg) {
        members[reg] = true;
        unite(operand.elements[0].reg, reg);
      });
    });
    follow_moves(graph_, members, false);
    for (const Step& step : graph_.steps) {
      const auto& operands = step.instruction.operands;
      if (is_move(step) && members[operands[0].reg]) unite(operands[0].reg, operands[1].reg);
    }
    for_operands([&](Step& step, const ptx::Operand& operand) {
      step.fragments.push_back(number(operand.elements[0].reg));
    });
    for (Step& step : graph_.steps) {
      if (is_wgmma(step) || is_move(step) || is_constant(step)) continue;
      visit_registers(
          step, [](auto) {},
          [&](ptx::RegisterId reg) {
            if (members[reg]) step.fragments.push_back(number(reg));
          });
    }
    graph_.fragment_sets = static_cast<std::uint32_t>(roots_.size());
  }

 private:
  // Compilers set registers to a constant where they are used, behind the fence.
  static bool is_constant(const Step& step) {
    return step.instruction.opcode == "mov" &&
           step.instruction.operands[1].kind == ptx::Operand::Kind::immediate;
  }

  void for_operands(const auto& visit) {
    for (Step& step : graph_.steps) {
      if (!is_wgmma(step)) continue;
      for (std::size_t i : {0u, 1u}) {
        const ptx::Operand& operand = step.instruction.operands[i];
        if (operand.kind == ptx::Operand::Kind::vector && !operand.elements.empty())
          visit(step, operand);
      }
    }
  }

  ptx::RegisterId root(ptx::RegisterId reg) {
    while (parent_[reg] != reg) reg = parent_[reg] = parent_[parent_[reg]];
    return reg;
  }
  void unite(ptx::RegisterId a, ptx::RegisterId b) { parent_[root(a)] = root(b); }
  std::uint32_t number(ptx::RegisterId reg) {
    const ptx::RegisterId of = root(reg);
    const auto known = std::find(roots_.begin(), roots_.end(), of);
    if (known == roots_.end()) roots_.push_back(of);
    return static_cast<std::uint32_t>(std::find(roots_.begin(), roots_.end(), of) - roots_.begin());
  }

  Graph& graph_;
  std::vector<ptx::RegisterId> parent_, roots_;
};

}  // namespace

void find_in_flight(Graph& graph) {
  if (std::none_of(graph.steps.begin(), graph.steps.end(), is_wgmma)) return;
  Ages(graph, Ages::kAccumulators).run();
  Ages(graph, Ages::kFragment).run();
  Fragments(graph).run();
  graph.fragments_offset = graph.slot_bytes;
  graph.slot_bytes += (graph.fragment_sets * 4 + 63) / 64 * 64;
}

}  // namespace octavo::emulator::lower
