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

std::vector<const ptx::Variable*> placed_variables(const ptx::Module& module) {
  std::vector<const ptx::Variable*> placed;
  const auto collect = [&](const std::vector<ptx::Variable>& variables) {
    for (const auto& variable : variables) {
      if (variable.space == ptx::Space::global || variable.space == ptx::Space::constant) {
        placed.push_back(&variable);
      }
    }
  };
  collect(module.variables);
  for (const auto& function : module.functions) collect(function.variables);
  return placed;
}

namespace {

std::uint64_t align_up(std::uint64_t value, std::uint64_t alignment) {
  return alignment < 2 ? value : (value + alignment - 1) / alignment * alignment;
}

std::uint64_t alignment_of(const ptx::Variable& variable) {
  return std::max<std::uint64_t>(
      variable.alignment, variable.type == ptx::Type::none ? 1 : ptx::bytes_of(variable.type));
}

// Longer blocks are cut: compile time and the host's stack grow with a block's length.
constexpr std::uint32_t kLongestBlock = 192;

bool is_runtime_call(const ptx::Instruction& instruction) {
  return instruction.callee == "vprintf" || instruction.callee == "__assertfail";
}

class Builder {
 public:
  Builder(const ptx::Module& module, const ptx::Function& kernel) {
    graph_.module = &module;
    graph_.registers.push_back({"CC.CF", ptx::Type::pred});
    add_function(kernel);
  }

  Graph build() {
    resolve_calls();
    place_variables();
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

    open_.insert(&function);
    const auto last = static_cast<std::uint32_t>(graph_.steps.size());
    for (std::uint32_t s = step_of[0]; s < last; ++s) {
      const ptx::Instruction& instruction = graph_.steps[s].instruction;
      if (instruction.opcode != "call" || is_runtime_call(instruction) || instruction.has("result"))
        continue;
      calls_.emplace_back(s, callee_number(instruction));
    }
    open_.erase(&function);
    return number;
  }

  std::uint32_t callee_number(const ptx::Instruction& instruction) {
    if (instruction.callee.empty()) refuse(instruction, "indirect calls are not supported");
    const ptx::Function* callee = graph_.module->find(instruction.callee);
    if (callee == nullptr || callee->declared_only) {
      refuse(instruction, "function " + instruction.callee + " has no body in this module");
    }
    if (open_.contains(callee)) refuse(instruction, "recursion is not supported");
    const auto known = std::find(graph_.functions.begin(), graph_.functions.end(), callee);
    if (known != graph_.functions.end()) {
      return static_cast<std::uint32_t>(known - graph_.functions.begin());
    }
    const ptx::Instruction copy = instruction;  // the steps move as they grow
    if (callee->results.size() != copy.call_results.size() ||
        callee->parameters.size() != copy.call_arguments.size()) {
      reject(copy, "arguments do not match those of " + copy.callee);
    }
    return add_function(*callee);
  }

  static void rebase(ptx::Operand& operand, ptx::RegisterId base) {
    operand.reg += base;
    for (auto& element : operand.elements) rebase(element, base);
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
      const bool two_steps = instruction.opcode == "call" && !is_runtime_call(instruction);
      graph_.steps.back().targets = {
          static_cast<std::uint32_t>(graph_.steps.size() + (two_steps ? 2 : 1))};
      instruction.guarded = false;
    }
    const bool calls = instruction.opcode == "call" && !is_runtime_call(instruction);
    add_step(instruction, function);
    if (!calls) return;
    // Where the callee returns to, what it returned is fetched.
    instruction.modifiers = {"result"};
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
    for (const auto& [step, callee] : calls_) {
      graph_.steps[step].targets = {first_step_[callee], callee};
    }
  }

  void place_variables() {
    std::uint64_t shared = 0, local = 0, dynamic_alignment = 16;
    std::unordered_map<std::string, Place> none;
    const auto place = [&](const ptx::Variable& variable, bool argument) -> Place {
      const std::uint64_t alignment = alignment_of(variable);
      if (variable.space == ptx::Space::shared) {
        if (variable.external || variable.bytes == 0) {
          dynamic_alignment = std::max(dynamic_alignment, alignment);
          return {Place::Kind::shared, ~std::uint64_t{0}, 0};
        }
        shared = align_up(shared, alignment);
        shared += variable.bytes;
        return {Place::Kind::shared, shared - variable.bytes, variable.bytes};
      }
      if (variable.space == ptx::Space::local || argument) {
        local = align_up(local, alignment);
        local += variable.bytes;
        return {Place::Kind::local, local - variable.bytes, variable.bytes};
      }
      return {Place::Kind::symbol, 0, variable.bytes};
    };
    for (std::size_t f = 0; f < graph_.functions.size(); ++f) {
      const ptx::Function& function = *graph_.functions[f];
      auto& places = graph_.places.emplace_back();
      if (function.entry) {
        const ParameterLayout layout = layout_parameters(function.parameters);
        for (std::size_t i = 0; i < function.parameters.size(); ++i) {
          const ptx::Variable& parameter = function.parameters[i];
          places[parameter.name] = {Place::Kind::parameter, layout.offsets[i], parameter.bytes};
        }
      } else {
        for (const auto& parameter : function.parameters)
          places[parameter.name] = place(parameter, true);
        for (const auto& result : function.results) places[result.name] = place(result, true);
      }
      for (const auto& variable : function.variables) {
        places[variable.name] = place(variable, variable.space == ptx::Space::param);
      }
    }
    const std::set<std::string> used = used_symbols();
    for (const auto& variable : graph_.module->variables) {
      if (used.contains(variable.name))
        graph_.module_places[variable.name] = place(variable, false);
    }
    number_symbols();
    graph_.static_shared_bytes = static_cast<std::uint32_t>(shared);
    graph_.dynamic_offset = static_cast<std::uint32_t>(align_up(shared, dynamic_alignment));
    graph_.local_bytes = static_cast<std::uint32_t>(align_up(local, 16));
    if (shared > (1u << 24) || local > (1u << 24)) {
      throw Fault(CUDA_ERROR_INVALID_PTX, "kernel " + graph_.functions[0]->name +
                                              ": more shared or local memory than any GPU has");
    }
    finish_dynamic(graph_.module_places);
    for (auto& places : graph_.places) finish_dynamic(places);
  }

  void finish_dynamic(std::unordered_map<std::string, Place>& places) const {
    for (auto& [name, place] : places) {
      if (place.offset == ~std::uint64_t{0}) place.offset = graph_.dynamic_offset;
    }
  }

  void number_symbols() {
    std::unordered_map<std::string_view, std::uint64_t> numbers;
    for (const ptx::Variable* variable : placed_variables(*graph_.module)) {
      numbers.emplace(variable->name, numbers.size());
    }
    const auto number = [&](std::unordered_map<std::string, Place>& places) {
      for (auto& [name, place] : places) {
        if (place.kind == Place::Kind::symbol) place.offset = numbers[name];
      }
    };
    number(graph_.module_places);
    for (auto& places : graph_.places) number(places);
  }

  std::set<std::string> used_symbols() const {
    std::set<std::string> used;
    const auto visit = [&](const auto& self, const ptx::Operand& operand) -> void {
      if (!operand.text.empty()) used.insert(operand.text);
      for (const auto& element : operand.elements) self(self, element);
    };
    for (const Step& step : graph_.steps) {
      for (const auto& operand : step.instruction.operands) visit(visit, operand);
    }
    return used;
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
      if (step.instruction.opcode == "call") {
        if (!step.targets.empty()) leads[step.targets[0]] = true;
      } else {
        for (const std::uint32_t target : step.targets) leads[target] = true;
      }
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
      Step& step = graph_.steps[graph_.blocks[b].last - 1];
      if (step.instruction.opcode != "call" || step.targets.empty()) continue;
      graph_.return_blocks[step.targets[1]].push_back(b + 1);
    }
    for (std::uint32_t b = 0; b < graph_.blocks.size(); ++b) {
      BasicBlock& block = graph_.blocks[b];
      Step& step = graph_.steps[block.last - 1];
      const std::string& opcode = step.instruction.opcode;
      if (opcode == "call" && !step.targets.empty()) {
        step.targets[0] = block_of_[step.targets[0]];
        block.successors = {step.targets[0]};
        continue;
      }
      for (auto& target : step.targets) target = block_of_[target];
      block.successors = step.targets;
      if (opcode == "ret") block.successors = graph_.return_blocks[step.function];
      const bool goes_on = !ends_block(step) || (opcode == "bra" && step.instruction.guarded);
      if (goes_on) block.successors.push_back(b + 1);
    }
  }

  Graph graph_;
  std::vector<std::uint32_t> first_step_;  // of each function
  std::set<const ptx::Function*> open_;    // being added: calling one of them is recursion
  std::vector<std::pair<std::uint32_t, std::uint32_t>> calls_;  // step, function
  std::vector<std::uint32_t> block_of_;                         // each step's block
};

}  // namespace

ParameterLayout layout_parameters(const std::vector<ptx::Variable>& parameters) {
  ParameterLayout layout;
  for (const auto& parameter : parameters) {
    layout.bytes = static_cast<std::uint32_t>(align_up(layout.bytes, alignment_of(parameter)));
    layout.offsets.push_back(layout.bytes);
    layout.bytes += static_cast<std::uint32_t>(parameter.bytes);
  }
  return layout;
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
