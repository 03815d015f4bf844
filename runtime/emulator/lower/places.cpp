// Where variables lie, and what the address of a function is.
#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "fault.hpp"
#include "lower/graph.hpp"

namespace octavo::emulator::lower {
namespace {

std::uint64_t align_up(std::uint64_t value, std::uint64_t alignment) {
  return alignment < 2 ? value : (value + alignment - 1) / alignment * alignment;
}

std::uint64_t alignment_of(const ptx::Variable& variable) {
  return std::max<std::uint64_t>(
      variable.alignment, variable.type == ptx::Type::none ? 1 : ptx::bytes_of(variable.type));
}

}  // namespace

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

ParameterLayout layout_parameters(const std::vector<ptx::Variable>& parameters) {
  constexpr std::uint64_t kMostBytes = 32764;
  ParameterLayout layout;
  for (const auto& parameter : parameters) {
    const std::uint64_t offset = align_up(layout.bytes, alignment_of(parameter));
    if (offset > kMostBytes || parameter.bytes > kMostBytes - offset) {
      throw Fault(CUDA_ERROR_INVALID_PTX,
                  fmt::format("parameter {}: more than {} bytes of parameters", parameter.name,
                              kMostBytes));
    }
    layout.offsets.push_back(static_cast<std::uint32_t>(offset));
    layout.bytes = static_cast<std::uint32_t>(offset + parameter.bytes);
  }
  return layout;
}

std::optional<std::uint64_t> function_address(const ptx::Module& module, std::string_view name) {
  // Not canonical on any host, so that no allocation is there; aligned as member pointers need.
  constexpr std::uint64_t kFunctions = std::uint64_t{0xF0} << 48;
  const ptx::Function* function = module.find(name);
  if (function == nullptr || function->entry) return std::nullopt;
  return kFunctions + 16 * static_cast<std::uint64_t>(function - module.functions.data() + 1);
}

namespace {

class Placer {
 public:
  explicit Placer(Graph& graph) : graph_(graph) {}

  void place() {
    for (std::uint32_t f = 0; f < graph_.functions.size(); ++f) place_function(f);
    const std::set<std::string> used = used_symbols();
    for (const auto& variable : graph_.module->variables) {
      if (used.contains(variable.name)) {
        graph_.module_places[variable.name] = place(variable, false, local_);
      }
    }
    number_symbols();
    graph_.static_shared_bytes = static_cast<std::uint32_t>(shared_);
    graph_.dynamic_offset = static_cast<std::uint32_t>(align_up(shared_, dynamic_alignment_));
    graph_.local_bytes = static_cast<std::uint32_t>(align_up(local_.bytes, 16));
    if (shared_ > kMostBytes || local_.bytes > kMostBytes) {
      throw Fault(CUDA_ERROR_INVALID_PTX, "kernel " + graph_.functions[0]->name +
                                              ": more shared or local memory than any GPU has");
    }
    finish_dynamic(graph_.module_places);
    for (auto& places : graph_.places) finish_dynamic(places);
  }

 private:
  static constexpr std::uint64_t kMostBytes = 1u << 24;
  static constexpr std::uint64_t kDynamic = ~std::uint64_t{0};  // an offset that is not known yet

  struct Region {
    Place::Kind kind;
    std::uint64_t bytes = 0;
  };

  void place_function(std::uint32_t f) {
    const ptx::Function& function = *graph_.functions[f];
    auto& places = graph_.places.emplace_back();
    Frame& frame = graph_.frames[f];
    Region stack{Place::Kind::stack};
    Region& region = frame.on_stack ? stack : local_;
    if (function.entry) {
      const ParameterLayout layout = layout_parameters(function.parameters);
      for (std::size_t i = 0; i < function.parameters.size(); ++i) {
        const ptx::Variable& parameter = function.parameters[i];
        places[parameter.name] = {Place::Kind::parameter, layout.offsets[i], parameter.bytes};
      }
    } else {
      for (const auto* variables : {&function.results, &function.parameters}) {
        for (const auto& variable : *variables) {
          if (frame.on_stack) region.bytes = align_up(region.bytes, 16);
          places[variable.name] = place(variable, true, region);
        }
      }
    }
    for (const auto& variable : function.variables) {
      places[variable.name] = place(variable, variable.space == ptx::Space::param, region);
    }
    if (stack.bytes > kMostBytes) {
      throw Fault(CUDA_ERROR_INVALID_PTX,
                  "function " + function.name + ": more local memory than any GPU has");
    }
    frame.variable_bytes = frame.bytes = static_cast<std::uint32_t>(align_up(stack.bytes, 16));
  }

  Place place(const ptx::Variable& variable, bool argument, Region& region) {
    const std::uint64_t alignment = alignment_of(variable);
    if (variable.space == ptx::Space::shared) {
      if (variable.external || variable.bytes == 0) {
        dynamic_alignment_ = std::max(dynamic_alignment_, alignment);
        return {Place::Kind::shared, kDynamic, 0};
      }
      shared_ = align_up(shared_, alignment) + variable.bytes;
      return {Place::Kind::shared, shared_ - variable.bytes, variable.bytes};
    }
    if (variable.space == ptx::Space::local || argument) {
      region.bytes = align_up(region.bytes, alignment) + variable.bytes;
      return {region.kind, region.bytes - variable.bytes, variable.bytes};
    }
    return {Place::Kind::symbol, 0, variable.bytes};
  }

  void finish_dynamic(std::unordered_map<std::string, Place>& places) const {
    for (auto& [name, place] : places) {
      if (place.offset == kDynamic) place.offset = graph_.dynamic_offset;
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

  Graph& graph_;
  std::uint64_t shared_ = 0, dynamic_alignment_ = 16;
  Region local_{Place::Kind::local};
};

}  // namespace

void place_variables(Graph& graph) { Placer(graph).place(); }

void find_frames(Graph& graph, const std::vector<bool>& by_address) {
  const std::size_t count = graph.functions.size();
  std::vector<std::set<std::uint32_t>> calls(count);
  for (const Step& step : graph.steps)
    calls[step.function].insert(step.callees.begin(), step.callees.end());
  // reaches[f][g]: f may come to call g, itself or by what it calls.
  std::vector<std::vector<bool>> reaches(count, std::vector<bool>(count));
  for (std::uint32_t f = 0; f < count; ++f) {
    std::vector<std::uint32_t> pending(calls[f].begin(), calls[f].end());
    while (!pending.empty()) {
      const std::uint32_t g = pending.back();
      pending.pop_back();
      if (reaches[f][g]) continue;
      reaches[f][g] = true;
      pending.insert(pending.end(), calls[g].begin(), calls[g].end());
    }
  }
  graph.frames.resize(count);
  for (std::uint32_t f = 0; f < count; ++f) {
    const bool allocates = std::any_of(
        graph.functions[f]->body.begin(), graph.functions[f]->body.end(),
        [](const ptx::Instruction& instruction) { return instruction.opcode == "alloca"; });
    const bool is_kernel = f == 0;
    graph.frames[f].on_stack = !is_kernel && (reaches[f][f] || by_address[f] || allocates);
    graph.uses_stack = graph.uses_stack || graph.frames[f].on_stack || allocates;
  }
  for (std::size_t s = 0; s < graph.steps.size(); ++s) {
    Step& step = graph.steps[s];
    if (!is_call(step)) continue;
    const bool comes_back =
        std::any_of(step.callees.begin(), step.callees.end(), [&](std::uint32_t callee) {
          return callee == step.function || reaches[callee][step.function];
        });
    if (!comes_back) continue;
    step.saved = graph.steps[s + 1].saved = {graph.return_register[step.function]};
  }
}
}  // namespace octavo::emulator::lower
