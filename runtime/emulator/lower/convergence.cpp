// Which blocks all live lanes of a warp are sure to run together: those need no masks.
#include <algorithm>
#include <array>
#include <string_view>

#include "lower/graph.hpp"

namespace octavo::emulator::lower {
namespace {

// Special registers that are the same for all threads of a block.
constexpr std::array<std::string_view, 12> kUniform = {"%ctaid",
                                                       "%ntid",
                                                       "%nctaid",
                                                       "%warpid",
                                                       "%nwarpid",
                                                       "%cluster_ctaid",
                                                       "%cluster_nctaid",
                                                       "%clusterid",
                                                       "%nclusterid",
                                                       "%cluster_ctarank",
                                                       "%cluster_nctarank",
                                                       "%is_explicit_cluster"};

bool is_uniform_operand(const ptx::Operand& operand) {
  if (operand.kind == ptx::Operand::Kind::special) {
    const std::string_view name = std::string_view(operand.text).substr(0, operand.text.find('.'));
    return std::find(kUniform.begin(), kUniform.end(), name) != kUniform.end();
  }
  return std::all_of(operand.elements.begin(), operand.elements.end(), is_uniform_operand);
}

const Place* place_of(const Graph& graph, const Step& step, const ptx::Operand& operand) {
  return operand.text.empty() ? nullptr : graph.find_place(step.function, operand.text);
}

// Whether lanes with the same sources get the same result.
bool is_pure(const Graph& graph, const Step& step) {
  const auto& instruction = step.instruction;
  if (instruction.opcode == "ld") {
    // A kernel's parameters are the same for all; those of functions are each lane's own.
    const Place* place = place_of(graph, step, instruction.operands[1]);
    return instruction.has("param") && !instruction.operands[1].has_reg && place != nullptr &&
           place->kind == Place::Kind::parameter;
  }
  static constexpr std::string_view kVarying[] = {"ldu",  "atom",   "activemask",
                                                  "cvta", "alloca", "stacksave"};
  if (step.row->flow != Flow::plain) return false;
  if (std::find(std::begin(kVarying), std::end(kVarying), instruction.opcode) != std::end(kVarying))
    return false;
  return std::all_of(instruction.operands.begin(), instruction.operands.end(),
                     [&](const ptx::Operand& operand) {
                       const Place* place = place_of(graph, step, operand);
                       // Lanes may be at different depths of their stacks.
                       const bool moves = place != nullptr && place->kind == Place::Kind::stack;
                       return !moves && is_uniform_operand(operand);
                     });
}

class Analysis {
 public:
  explicit Analysis(Graph& graph) : graph_(graph), varying_(graph.registers.size()) {
    for (BasicBlock& block : graph_.blocks) block.converged = true;
  }

  // Assumes the best and takes back what does not hold, until nothing changes.
  void run() {
    do {
      changed_ = false;
      for (const BasicBlock& block : graph_.blocks) visit(block);
    } while (changed_);
  }

 private:
  bool reads_varying(const Step& step) const {
    bool varying = false;
    visit_registers(
        step, [&](ptx::RegisterId reg) { varying = varying || varying_[reg]; },
        [](ptx::RegisterId) {});
    return varying;
  }

  void make_varying(ptx::RegisterId reg) {
    if (varying_[reg]) return;
    varying_[reg] = true;
    changed_ = true;
  }

  void visit(const BasicBlock& block) {
    const bool together = block.converged || block.all_lanes;
    for (std::uint32_t s = block.first; s < block.last; ++s) {
      const Step& step = graph_.steps[s];
      // What a call's result gets back from the threads' stacks.
      if (!is_call(step)) {
        for (const ptx::RegisterId reg : step.saved) make_varying(reg);
      }
      if (together && is_pure(graph_, step) && !reads_varying(step)) continue;
      visit_registers(
          step, [](ptx::RegisterId) {}, [&](ptx::RegisterId reg) { make_varying(reg); });
      if (!together && is_call(step)) {
        for (const std::uint32_t callee : step.callees) {
          make_varying(graph_.return_register[callee]);
        }
      }
    }
    if (together && !parts(graph_.steps[block.last - 1])) return;
    for (const std::uint32_t next : block.successors) {
      changed_ = changed_ || graph_.blocks[next].converged;
      graph_.blocks[next].converged = false;
    }
  }

  // Whether lanes may go different ways after this step.
  bool parts(const Step& last) const {
    const std::string& opcode = last.instruction.opcode;
    if (opcode == "bra" || opcode == "brx" || is_call(last)) return reads_varying(last);
    return opcode == "ret" && varying_[graph_.return_register[last.function]];
  }

  Graph& graph_;
  std::vector<bool> varying_;  // registers that may differ between lanes
  bool changed_ = false;
};

}  // namespace

void find_convergence(Graph& graph) { Analysis(graph).run(); }

}  // namespace octavo::emulator::lower
