// Any bytes are a module or a fault of one line with its place.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "fault.hpp"
#include "ptx/parser.hpp"

namespace {

using namespace octavo::emulator;

void require(bool condition) {
  if (!condition) std::abort();
}

void check(const ptx::Function& function, const ptx::Operand& operand) {
  const bool has_register = operand.kind == ptx::Operand::Kind::reg || operand.has_reg;
  require(!has_register || operand.reg < function.registers.size());
  for (const ptx::Operand& element : operand.elements) check(function, element);
}

// What lowering relies on without looking.
void check(const ptx::Function& function) {
  for (const ptx::Instruction& instruction : function.body) {
    require(!instruction.opcode.empty() && instruction.line > 0);
    require(!instruction.guarded || instruction.guard < function.registers.size());
    for (const ptx::Operand& operand : instruction.operands) check(function, operand);
  }
  for (const ptx::Label& label : function.labels) {
    require(label.instruction <= function.body.size());
  }
  require(function.branch_targets.size() == function.branch_target_names.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const ptx::Module module =
        ptx::parse(std::string_view(reinterpret_cast<const char*>(data), size));
    for (const ptx::Function& function : module.functions) check(function);
  } catch (const Fault& fault) {
    const std::string_view message = fault.what();
    require(fault.code() == CUDA_ERROR_INVALID_PTX && message.starts_with("line "));
    require(std::ranges::all_of(message, [](char c) { return c >= ' ' && c <= '~'; }));
  }
  return 0;
}
