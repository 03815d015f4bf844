#include "lower/graph.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "fault.hpp"

namespace octavo::emulator::lower {

std::string spelling(const ptx::Instruction& instruction) {
  std::string text = instruction.opcode;
  for (const auto& modifier : instruction.modifiers) text += "." + modifier;
  return text;
}

void refuse(const ptx::Instruction& instruction, const std::string& why) {
  throw Fault(CUDA_ERROR_NOT_SUPPORTED,
              fmt::format("line {}: {}: {}", instruction.line, spelling(instruction), why));
}

void reject(const ptx::Instruction& instruction, const std::string& why) {
  throw Fault(CUDA_ERROR_INVALID_PTX,
              fmt::format("line {}: {}: {}", instruction.line, spelling(instruction), why));
}

namespace {

// Longer blocks are cut: compile time and the host's stack grow with a block's length.
constexpr std::uint32_t kLongestBlock = 192;

// Functions whose address the module's code or variables hold: what a pointer may lead to.
std::set<std::string, std::less<>> functions_by_address(const ptx::Module& module) {
  std::set<std::string, std::less<>> names;
  const auto add = [&](const std::string& name) {
    if (const ptx::Function* f = module.find(name); f != nullptr && !f->entry) names.insert(name);
  };
  for (const auto& variable : module.variables) {
    for (const auto& relocation : variable.relocations) add(relocation.symbol);
  }
  for (const auto& function : module.functions) {
    for (const auto& instruction : function.body) {
      for (const auto& operand : instruction.operands) add(operand.text);
    }
    for (const auto& variable : function.variables) {
      for (const auto& relocation : variable.relocations) add(relocation.symbol);
    }
  }
  return names;
}

class Builder {
 public:
  Builder(const ptx::Module& module, const ptx::Function& kernel)
      : by_address_(functions_by_address(module)) {
    graph_.module = &module;
    graph_.registers.push_back({"CC.CF", ptx::Type::pred});
    add_function(kernel);
  }

  Graph build() {
    resolve_calls();
    std::vector<bool> by_address(graph_.functions.size());
    for (const std::uint32_t function : called_by_address_) by_address[function] = true;
    find_frames(graph_, by_address);
    place_variables(graph_);
    cut_blocks();
    connect();
    return std::move(graph_);
  }

 private:
  // Appends the function's steps, and those of what it calls; its number.
  std::uint32_t add_function(const ptx::Function& function) {
    const auto number = static_cast<std::uint32_t>(graph_.functions.size());
    graph_.functions.push_back(&function);
    first_step_.push_back(static_cast<std::uint32_t>(graph_.steps.size()));
    const auto base = static_cast<ptx::RegisterId>(graph_.registers.size());
    graph_.first_register.push_back(base);
    graph_.registers.insert(graph_.registers.end(), function.registers.begin(),
                            function.registers.end());
    graph_.return_register.push_back(static_cast<std::uint32_t>(graph_.registers.size()));
    graph_.registers.push_back({"return address of " + function.name, ptx::Type::b32});
    graph_.return_blocks.emplace_back();

    std::vector<std::uint32_t> step_of(function.body.size() + 1);
    for (std::size_t i = 0; i < function.body.size(); ++i) {
      step_of[i] = static_cast<std::uint32_t>(graph_.steps.size());
      add_instruction(function.body[i], number, base);
    }
    step_of.back() = static_cast<std::uint32_t>(graph_.steps.size());
    ptx::Instruction end;
    end.opcode = "ret";
    end.line = function.body.empty() ? function.line : function.body.back().line;
    add_step(end, number);
    resolve_labels(function, number, step_of);

    const auto last = static_cast<std::uint32_t>(graph_.steps.size());
    for (std::uint32_t s = step_of[0]; s < last; ++s) {
      if (!is_call(graph_.steps[s])) continue;
      const ptx::Instruction instruction = graph_.steps[s].instruction;  // the steps move and grow
      std::vector<std::uint32_t> callees = instruction.callee.empty()
                                               ? callees_by_address(instruction, function)
                                               : std::vector{callee_number(instruction)};
      graph_.steps[s].callees = graph_.steps[s + 1].callees = std::move(callees);
    }
    return number;
  }

  std::uint32_t callee_number(const ptx::Instruction& instruction) {
    const ptx::Function* callee = graph_.module->find(instruction.callee);
    if (callee == nullptr || callee->declared_only) {
      refuse(instruction, "function " + instruction.callee + " has no body in this module");
    }
    if (callee->entry) reject(instruction, instruction.callee + " is a kernel");
    if (callee->results.size() != instruction.call_results.size() ||
        callee->parameters.size() != instruction.call_arguments.size()) {
      reject(instruction, "arguments do not match those of " + instruction.callee);
    }
    return number_of(*callee);
  }

  std::uint32_t number_of(const ptx::Function& function) {
    const auto known = std::find(graph_.functions.begin(), graph_.functions.end(), &function);
    if (known == graph_.functions.end()) return add_function(function);
    return static_cast<std::uint32_t>(known - graph_.functions.begin());
  }

  // Every function that the pointer may hold, by the sizes of what it takes and returns.
  std::vector<std::uint32_t> callees_by_address(const ptx::Instruction& instruction,
                                                const ptx::Function& caller) {
    const auto bytes_of = [&](const std::string& name) {
      for (const auto* variables : {&caller.variables, &caller.parameters, &caller.results}) {
        for (const auto& variable : *variables) {
          if (variable.name == name) return variable.bytes;
        }
      }
      reject(instruction, "no variable " + name);
    };
    const auto fit = [&](const std::vector<ptx::Variable>& declared,
                         const std::vector<std::string>& given) {
      return std::equal(declared.begin(), declared.end(), given.begin(), given.end(),
                        [&](const ptx::Variable& variable, const std::string& name) {
                          return variable.bytes == bytes_of(name);
                        });
    };
    std::vector<std::uint32_t> callees;
    for (const std::string& name : by_address_) {
      const ptx::Function* function = graph_.module->find(name);
      if (function->declared_only || !fit(function->parameters, instruction.call_arguments) ||
          !fit(function->results, instruction.call_results)) {
        continue;
      }
      callees.push_back(number_of(*function));
      called_by_address_.insert(callees.back());
    }
    return callees;
  }

  static void rebase(ptx::Operand& operand, ptx::RegisterId base) {
    operand.reg += base;
    for (auto& element : operand.elements) rebase(element, base);
  }

  static bool has_result_step(const Row& row, const ptx::Instruction& instruction) {
    if (instruction.opcode == "call") return !is_runtime_call(instruction);
    return instruction.opcode == "barrier" && row.flow == Flow::ends && instruction.has("red");
  }

  void add_instruction(const ptx::Instruction& original, std::uint32_t function,
                       ptx::RegisterId base) {
    ptx::Instruction instruction = original;
    instruction.guard += base;
    for (auto& operand : instruction.operands) rebase(operand, base);
    const Row& row = check(instruction);
    // A guarded instruction that ends a block or waits for other lanes becomes a branch around it.
    if (instruction.guarded && row.flow != Flow::plain && instruction.opcode != "bra") {
      ptx::Instruction around;
      around.opcode = "bra";
      around.line = instruction.line;
      around.guarded = true;
      around.guard = instruction.guard;
      around.guard_negated = !instruction.guard_negated;
      around.operands.emplace_back().kind =
          ptx::Operand::Kind::symbol;  // its target is a step, not a label
      add_step(around, function);
      graph_.steps.back().targets = {static_cast<std::uint32_t>(
          graph_.steps.size() + (has_result_step(row, instruction) ? 2 : 1))};
      instruction.guarded = false;
    }
    add_step(instruction, function);
    if (!has_result_step(row, instruction)) return;
    // Where lanes go on afterwards, what they got is fetched.
    if (instruction.opcode == "call") instruction.modifiers.clear(), instruction.operands.clear();
    instruction.modifiers.emplace_back("result");
    instruction.guarded = false;
    add_step(std::move(instruction), function);
  }

  void add_step(ptx::Instruction instruction, std::uint32_t function) {
    Step step;
    step.row = &check(instruction);
    graph_.asynchronous = graph_.asynchronous || is_asynchronous(instruction);
    step.instruction = std::move(instruction);
    step.function = function;
    graph_.steps.push_back(std::move(step));
  }

  void resolve_labels(const ptx::Function& function, std::uint32_t number,
                      const std::vector<std::uint32_t>& step_of) {
    std::unordered_map<std::string_view, std::uint32_t> labels;
    for (const auto& label : function.labels) labels[label.name] = step_of[label.instruction];
    const auto find = [&](const ptx::Instruction& instruction, const std::string& name) {
      const auto it = labels.find(name);
      if (it == labels.end()) reject(instruction, "no label " + name);
      return it->second;
    };
    for (std::uint32_t s = step_of[0]; s < graph_.steps.size(); ++s) {
      Step& step = graph_.steps[s];
      if (step.function != number) continue;
      if (step.instruction.opcode == "bra" && step.targets.empty()) {
        step.targets = {find(step.instruction, step.instruction.operands[0].text)};
      } else if (step.instruction.opcode == "brx") {
        const auto& names = function.branch_target_names;
        const auto list = std::find(names.begin(), names.end(), step.instruction.operands[1].text);
        if (list == names.end()) reject(step.instruction, "no .branchtargets of this name");
        for (const auto& label :
             function.branch_targets[static_cast<std::size_t>(list - names.begin())]) {
          step.targets.push_back(find(step.instruction, label));
        }
      }
    }
  }

  void resolve_calls() {
    for (Step& step : graph_.steps) {
      if (!is_call(step)) continue;
      for (const std::uint32_t callee : step.callees) step.targets.push_back(first_step_[callee]);
    }
  }

  // The member masks that all running lanes are known to have met, within a block.
  struct Met {
    bool all = false;
    std::set<std::pair<bool, std::uint64_t>> masks;  // (is a register, its number or the mask)
  };

  static std::pair<bool, std::uint64_t> mask_key(const ptx::Operand& operand) {
    if (operand.kind == ptx::Operand::Kind::reg) return {true, operand.reg};
    return {false, operand.bits};
  }

  void cut_blocks() {
    const std::size_t count = graph_.steps.size();
    std::vector<bool> leads(count + 1, false);
    for (const Step& step : graph_.steps) {
      for (const std::uint32_t target : step.targets) leads[target] = true;
    }
    block_of_.resize(count);
    Met met;
    bool begin = true;
    for (std::uint32_t s = 0; s < count; ++s) {
      const Step& step = graph_.steps[s];
      if (begin || leads[s] || step.row->flow == Flow::settles ||
          s - graph_.blocks.back().first >= kLongestBlock) {
        open_block(s);
        met = {};
      }
      begin = ends_block(step);
      wait_for_members(step, s, met);
      block_of_[s] = static_cast<std::uint32_t>(graph_.blocks.size() - 1);
      graph_.blocks.back().last = s + 1;
      visit_registers(
          step, [](ptx::RegisterId) {},
          [&](ptx::RegisterId written) { met.masks.erase({true, written}); });
    }
  }

  static bool ends_block(const Step& step) {
    return step.row->flow == Flow::ends && !is_runtime_call(step.instruction);
  }

  void open_block(std::uint32_t step) {
    graph_.blocks.emplace_back();
    graph_.blocks.back().first = step;
    graph_.blocks.back().last = step;
  }

  void wait_for_members(const Step& step, std::uint32_t number, Met& met) {
    const Flow flow = step.row->flow;
    if (flow == Flow::plain || flow == Flow::ends || met.all) return;
    const ptx::Operand* members =
        flow == Flow::members ? &step.instruction.operands.back() : nullptr;
    const bool all = members == nullptr || (members->kind == ptx::Operand::Kind::immediate &&
                                            static_cast<std::uint32_t>(members->bits) == ~0u);
    if (!all && met.masks.contains(mask_key(*members))) return;
    if (graph_.blocks.back().first != number) open_block(number);
    met = {};
    met.all = all;
    graph_.blocks.back().all_lanes = all;
    if (all) return;
    graph_.blocks.back().members = members;
    met.masks.insert(mask_key(*members));
  }

  // Targets become blocks, and blocks learn their successors.
  void connect() {
    for (std::uint32_t b = 0; b < graph_.blocks.size(); ++b) {
      const Step& step = graph_.steps[graph_.blocks[b].last - 1];
      if (!is_call(step)) continue;
      for (const std::uint32_t callee : step.callees) graph_.return_blocks[callee].push_back(b + 1);
    }
    for (std::uint32_t b = 0; b < graph_.blocks.size(); ++b) {
      BasicBlock& block = graph_.blocks[b];
      Step& step = graph_.steps[block.last - 1];
      for (auto& target : step.targets) target = block_of_[target];
      block.successors = step.targets;
      const std::string& opcode = step.instruction.opcode;
      if (opcode == "ret") block.successors = graph_.return_blocks[step.function];
      // Saved registers pass by the callee, to where it returns.
      const bool goes_on = !ends_block(step) || opcode == "barrier" ||
                           (opcode == "bra" && step.instruction.guarded) || !step.saved.empty();
      if (goes_on) block.successors.push_back(b + 1);
    }
  }

  Graph graph_;
  const std::set<std::string, std::less<>> by_address_;
  std::set<std::uint32_t> called_by_address_;
  std::vector<std::uint32_t> first_step_;  // of each function
  std::vector<std::uint32_t> block_of_;    // each step's block
};

}  // namespace

bool is_runtime_call(const ptx::Instruction& instruction) {
  return instruction.callee == "vprintf" || instruction.callee == "__assertfail" ||
         instruction.callee == "malloc" || instruction.callee == "free";
}

bool is_call(const Step& step) {
  return step.instruction.opcode == "call" && !step.instruction.has("result") &&
         !is_runtime_call(step.instruction);
}

const Place* Graph::find_place(std::uint32_t function, const std::string& name) const {
  const auto own = places[function].find(name);
  if (own != places[function].end()) return &own->second;
  const auto global = module_places.find(name);
  return global == module_places.end() ? nullptr : &global->second;
}

Graph build_graph(const ptx::Module& module, const ptx::Function& kernel) {
  return Builder(module, kernel).build();
}

}  // namespace octavo::emulator::lower
