// A kernel and the functions it calls as one control-flow graph, with what every part needs to know
// of it: where variables lie, which registers outlive a block, and in which slot of the frame.
#pragma once

#include <llvm/ADT/BitVector.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ptx/ast.hpp"

namespace octavo::emulator::lower {

struct Row;  // of the instruction table

// "mma.sync.aligned.m16n8k16..." of an instruction: how a message names it.
std::string spelling(const ptx::Instruction& instruction);

// Throws Fault NOT_SUPPORTED: "line N: <instruction>: why".
[[noreturn]] void refuse(const ptx::Instruction& instruction, const std::string& why);
// Throws Fault INVALID_PTX, likewise.
[[noreturn]] void reject(const ptx::Instruction& instruction, const std::string& why);

struct Step {
  ptx::Instruction instruction;  // registers numbered across all functions of the graph
  const Row* row = nullptr;
  std::uint32_t function = 0;          // in Graph::functions, for its variables' names
  std::vector<std::uint32_t> targets;  // of a branch or call: steps, then blocks
  // Registers that it uses though they may be accumulators in flight; of a wgmma.wait_group, those
  // that it settles.
  std::vector<ptx::RegisterId> in_flight;
  std::vector<ptx::RegisterId>
      overwrites;  // that it writes though a wgmma may still read them as A
  // Sets of wgmma's registers: of a wgmma its accumulators and then its A, of others what they
  // write.
  std::vector<std::uint32_t> fragments;
  std::vector<std::uint32_t> callees;  // of a call, and of the result after it: functions
  // Of a call that may come back to its own function, and of its result: the registers that the
  // thread's stack keeps meanwhile, one after another from Frame::variable_bytes.
  std::vector<ptx::RegisterId> saved;
};

// Calls, but to what the device's runtime offers (printf, malloc, ...), end their block.
bool is_runtime_call(const ptx::Instruction& instruction);
bool is_call(const Step& step);

using RegisterSet = llvm::BitVector;

struct BasicBlock {
  std::uint32_t first = 0, last = 0;  // steps
  // If the block begins with a warp-synchronous instruction: the operand with the member mask, or
  // `all_lanes`. It is entered when the members are there.
  const ptx::Operand* members = nullptr;
  bool all_lanes = false;
  bool converged = false;  // whenever it is entered, every live lane enters it
  std::vector<std::uint32_t> successors;
  RegisterSet live_in, live_out;
  RegisterSet undefined_in;  // that may be undefined in some lane, as it begins
};

// Where a variable is: what its name stands for as an address.
struct Place {
  enum class Kind : std::uint8_t {
    shared,
    local,
    stack,  // local memory too, counted from where the function's frame begins
    parameter,
    symbol,
  };
  Kind kind = Kind::symbol;
  std::uint64_t offset = 0;  // or, of a symbol, its number
  std::uint64_t bytes = 0;
  bool is_local() const { return kind == Kind::local || kind == Kind::stack; }
};

// Variables of most functions have one place in the thread's local memory. Those of a function that
// may be active more than once, or that is called by its address, lie in a frame on the thread's
// stack: results and parameters first, each at a multiple of 16, so that a call through a pointer
// finds them whichever function it comes to.
struct Frame {
  bool on_stack = false;
  std::uint32_t variable_bytes = 0;
  std::uint32_t bytes = 0;  // saved registers included
};

constexpr std::uint32_t kNoSlot = ~0u;
constexpr ptx::RegisterId kCarry = 0;  // the carry flag is a register like the others

struct Graph {
  const ptx::Module* module = nullptr;
  std::vector<const ptx::Function*> functions;  // the kernel first
  std::vector<ptx::Register> registers;         // of all functions, and one return address each
  std::vector<std::uint32_t> return_register;  // of each function: the block that a lane returns to
  std::vector<ptx::RegisterId> first_register;  // of each function; its last is return_register
  std::vector<Frame> frames;                    // of each function
  bool uses_stack = false;
  std::vector<Step> steps;
  std::vector<BasicBlock> blocks;
  std::vector<std::vector<std::uint32_t>> return_blocks;  // of each function: where its calls go on
  std::vector<std::unordered_map<std::string, Place>> places;  // of each function's own variables
  std::unordered_map<std::string, Place> module_places;
  std::vector<std::uint32_t> slots;  // of each register: its offset in the frame, or kNoSlot
  // Likewise of the lanes in which it is undefined, if it ever is where a block begins.
  std::vector<std::uint32_t> mask_slots;
  std::uint32_t slot_bytes = 0;  // of all slots
  std::uint32_t static_shared_bytes = 0, dynamic_offset = 0, local_bytes = 0;
  bool asynchronous = false;  // something goes on beside its threads
  // For each set of wgmma's registers, a word of the frame: who wrote one since a fence.
  std::uint32_t fragment_sets = 0, fragments_offset = 0;
  std::uint32_t live_registers = 0;  // 32-bit registers live at most, at a block's boundary

  const Place* find_place(std::uint32_t function, const std::string& name) const;
};

// Variables that have an address of their own in device memory, in the order of their numbers.
std::vector<const ptx::Variable*> placed_variables(const ptx::Module& module);

// The value of a function's address: of memory that no device has. nullopt if there is no such
// function.
std::optional<std::uint64_t> function_address(const ptx::Module& module, std::string_view name);

struct ParameterLayout {
  std::vector<std::uint32_t> offsets;
  std::uint32_t bytes = 0;
};
ParameterLayout layout_parameters(const std::vector<ptx::Variable>& parameters);

// Throws Fault for an instruction that the table lacks and for calls of what the module lacks.
Graph build_graph(const ptx::Module& module, const ptx::Function& kernel);

// Finds which functions may be active more than once, given which are called by address, and fills
// in frames and uses_stack, and which calls come back to their own function (saved is then not
// empty: it holds the return register).
void find_frames(Graph& graph, const std::vector<bool>& by_address);

// Fills in places, module_places and the sizes of memory.
void place_variables(Graph& graph);

// Fills in live_in, live_out, slots, what is counted from them, and saved registers.
void assign_slots(Graph& graph);

// Fills in what wgmma needs, if there is any: in_flight, fragments, and the room for these.
void find_in_flight(Graph& graph);

// Fills in undefined_in and mask_slots, after assign_slots.
void find_undefined(Graph& graph);

// A register's bytes in one lane, a predicate as 0 or ~0.
std::uint32_t saved_bytes(const ptx::Register& reg);

// Fills in `converged`.
void find_convergence(Graph& graph);

// The registers that the instruction reads, and those that it writes.
void visit_registers(const Step& step, const auto& read, const auto& write);
// Likewise, in its function's own numbers and without the carry flag.
void visit_operands(const Row& row, const ptx::Instruction& instruction, const auto& read,
                    const auto& write);

}  // namespace octavo::emulator::lower

#include "lower/table.hpp"

namespace octavo::emulator::lower {

namespace detail {
void visit_operand(const ptx::Operand& operand, const auto& visit) {
  if (operand.kind == ptx::Operand::Kind::reg || operand.has_reg) visit(operand.reg);
  for (const auto& element : operand.elements) visit_operand(element, visit);
}
}  // namespace detail

void visit_operands(const Row& row, const ptx::Instruction& instruction, const auto& read,
                    const auto& write) {
  if (instruction.guarded) read(instruction.guard);
  for (std::size_t i = 0; i < instruction.operands.size(); ++i) {
    if (is_destination(row, instruction, i)) {
      if (is_updated(row)) detail::visit_operand(instruction.operands[i], read);
      detail::visit_operand(instruction.operands[i], write);
    } else {
      detail::visit_operand(instruction.operands[i], read);
    }
  }
}

void visit_registers(const Step& step, const auto& read, const auto& write) {
  if (reads_carry(step.instruction)) read(kCarry);
  visit_operands(*step.row, step.instruction, read, write);
  if (step.instruction.has("cc")) write(kCarry);
}

}  // namespace octavo::emulator::lower
