#include "interpreter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "arithmetic.hpp"
#include "block.hpp"
#include "fault.hpp"
#include "integers.hpp"

namespace octavo::emulator::random_ptx {
namespace {

using ptx::Instruction;
using ptx::Operand;
using ptx::Type;
using std::uint32_t;
using std::uint64_t;

constexpr uint32_t kWarp = 32;
constexpr int kMaxSteps = 1'000'000;  // of one thread

uint64_t aligned(uint64_t offset, uint64_t alignment) {
  return (offset + alignment - 1) / alignment * alignment;
}

}  // namespace

Block::Block(const ptx::Module& module, const ptx::Function& kernel, Dim3 grid, Dim3 block, Dim3 id,
             std::span<const std::byte> parameters)
    : module_(module), grid_(grid), block_(block), id_(id) {
  for (const auto* variables : {&module.variables, &kernel.variables})
    for (const ptx::Variable& variable : *variables) {
      if (variable.space != ptx::Space::shared) continue;
      const uint64_t place = aligned(shared_.size(), variable.alignment);
      offsets_[variable.name] = place;
      shared_.resize(place + variable.bytes);
    }
  for (const ptx::Function& function : module.functions)
    for (const ptx::Label& label : function.labels)
      labels_[{&function, label.name}] = label.instruction;
  threads_.resize(block.x * block.y * block.z);
  for (uint32_t i = 0; i < threads_.size(); ++i) {
    threads_[i].index = i;
    enter(threads_[i], kernel);
    uint64_t offset = 0;
    for (const ptx::Variable& parameter : kernel.parameters) {
      offset = aligned(offset, parameter.alignment);
      std::ranges::copy(parameters.subspan(offset, parameter.bytes),
                        threads_[i].frame().variables[parameter.name].begin());
      offset += parameter.bytes;
    }
  }
}

void Block::run() {
  do {
    for (Thread& thread : threads_) advance(thread);
  } while (meet_in_warps() || meet_in_block());
  if (!std::ranges::all_of(threads_, &Thread::ended))
    throw Fault(CUDA_ERROR_LAUNCH_FAILED, "interpreter: threads wait for each other for ever");
}

void Block::unknown(const Instruction& instruction) const {
  throw Fault(CUDA_ERROR_NOT_SUPPORTED,
              fmt::format("interpreter: line {}: {}.{}", instruction.line, instruction.opcode,
                          fmt::join(instruction.modifiers, ".")));
}

uint64_t Block::special(const Thread& thread, const std::string& name) const {
  const uint32_t x = thread.index % block_.x, y = thread.index / block_.x % block_.y;
  const uint32_t z = thread.index / block_.x / block_.y;
  const std::map<std::string, uint32_t> values = {
      {"%tid.x", x},
      {"%tid.y", y},
      {"%tid.z", z},
      {"%ntid.x", block_.x},
      {"%ntid.y", block_.y},
      {"%ntid.z", block_.z},
      {"%ctaid.x", id_.x},
      {"%ctaid.y", id_.y},
      {"%ctaid.z", id_.z},
      {"%nctaid.x", grid_.x},
      {"%nctaid.y", grid_.y},
      {"%nctaid.z", grid_.z},
      {"%laneid", thread.index % kWarp},
      {"%lanemask_lt", (1u << thread.index % kWarp) - 1},
      {"%lanemask_eq", 1u << thread.index % kWarp},
  };
  const auto value = values.find(name);
  if (value == values.end()) throw Fault(CUDA_ERROR_NOT_SUPPORTED, "interpreter: " + name);
  return value->second;
}

uint64_t Block::read(const Thread& thread, const Operand& operand) const {
  switch (operand.kind) {
    case Operand::Kind::reg:
      return thread.frame().registers[operand.reg] ^ (operand.negated ? 1 : 0);
    case Operand::Kind::immediate:
      return operand.bits;
    case Operand::Kind::special:
      return special(thread, operand.text);
    case Operand::Kind::symbol:
      return address_of(thread, operand.text) + static_cast<uint64_t>(operand.offset);
    default:
      throw Fault(CUDA_ERROR_NOT_SUPPORTED, "interpreter: operand " + operand.text);
  }
}

void Block::write(Thread& thread, const Operand& operand, uint64_t bits) const {
  if (operand.kind == Operand::Kind::sink) return;
  const Type type = thread.frame().function->registers[operand.reg].type;
  thread.frame().registers[operand.reg] =
      type == Type::pred ? bits & 1 : static_cast<uint64_t>(value_of(bits, width_of(type), false));
}

// Of a thread's own variable the host's, of a shared one its offset, of a function its number.
uint64_t Block::address_of(const Thread& thread, const std::string& name) const {
  const auto own = thread.frame().variables.find(name);
  if (own != thread.frame().variables.end()) return reinterpret_cast<uint64_t>(own->second.data());
  if (const ptx::Function* function = module_.find(name))
    return static_cast<uint64_t>(function - module_.functions.data());
  return offsets_.at(name);
}

std::byte* Block::memory(const Thread& thread, const Instruction& instruction,
                         const Operand& address) {
  const uint64_t base =
      address.has_reg ? thread.frame().registers[address.reg] : address_of(thread, address.text);
  const uint64_t at = base + static_cast<uint64_t>(address.offset);
  if (instruction.has("shared")) return &shared_.at(at);
  return reinterpret_cast<std::byte*>(at);
}

void Block::enter(Thread& thread, const ptx::Function& function) const {
  Frame& frame = thread.frames.emplace_back();
  frame.function = &function;
  frame.registers.resize(function.registers.size());
  for (const auto* variables : {&function.parameters, &function.results, &function.variables})
    for (const ptx::Variable& variable : *variables)
      if (variable.space == ptx::Space::param || variable.space == ptx::Space::local)
        frame.variables[variable.name].resize(variable.bytes);
}

void Block::call(Thread& thread, const Instruction& instruction) const {
  const ptx::Function* function = module_.find(instruction.callee);
  if (function == nullptr) function = &module_.functions.at(read(thread, instruction.operands[0]));
  enter(thread, *function);
  const Frame& caller = thread.frames[thread.frames.size() - 2];
  for (std::size_t i = 0; i < function->parameters.size(); ++i)
    thread.frame().variables[function->parameters[i].name] =
        caller.variables.at(instruction.call_arguments[i]);
}

void Block::leave(Thread& thread) const {
  thread.ended = thread.frames.size() == 1;
  if (thread.ended) return;
  const Frame callee = std::move(thread.frames.back());
  thread.frames.pop_back();
  const auto& results = thread.instruction().call_results;
  for (std::size_t i = 0; i < results.size(); ++i)
    thread.frame().variables[results[i]] = callee.variables.at(callee.function->results[i].name);
}

void Block::advance(Thread& thread) {
  while (!thread.waiting && !thread.ended) {
    if (thread.frame().next >= thread.frame().function->body.size()) {
      leave(thread);
      continue;
    }
    if (++thread.steps > kMaxSteps)
      throw Fault(CUDA_ERROR_LAUNCH_FAILED, "interpreter: a thread does not end");
    ++thread.frame().next;
    const Instruction& instruction = thread.instruction();
    if (instruction.guarded &&
        (thread.frame().registers[instruction.guard] != 0) == instruction.guard_negated)
      continue;
    step(thread, instruction);
  }
}

void Block::step(Thread& thread, const Instruction& instruction) {
  const std::string& opcode = instruction.opcode;
  if (opcode == "exit") {
    thread.ended = true;
  } else if (opcode == "ret") {
    leave(thread);
  } else if (opcode == "call") {
    call(thread, instruction);
  } else if (opcode == "bra") {
    thread.frame().next = labels_.at({thread.frame().function, instruction.operands[0].text});
  } else if (opcode == "setp") {
    set_predicate(thread, instruction);
  } else if (opcode == "ld") {
    load(thread, instruction);
  } else if (opcode == "st") {
    store(thread, instruction);
  } else if (opcode == "red" || opcode == "atom") {
    update(thread, instruction);
  } else if (opcode == "mov" && instruction.operands[0].kind == Operand::Kind::vector) {
    unpack(thread, instruction);
  } else if (opcode == "mov" && instruction.operands[1].kind == Operand::Kind::vector) {
    pack(thread, instruction);
  } else if (instruction.has("sync")) {
    thread.waiting = true;
  } else {
    std::vector<uint64_t> sources;
    for (std::size_t i = 1; i < instruction.operands.size(); ++i)
      sources.push_back(read(thread, instruction.operands[i]));
    const auto result = evaluate(instruction, sources);
    if (!result) unknown(instruction);
    write(thread, instruction.operands[0], *result);
  }
}

void Block::set_predicate(Thread& thread, const Instruction& instruction) {
  const std::size_t first = instruction.pair ? 2 : 1;
  const auto& operands = instruction.operands;
  const uint64_t a = read(thread, operands[first]), b = read(thread, operands[first + 1]);
  const bool of_pair = is_pair(instruction.type());
  const bool compared = of_pair ? compare_halves(instruction, a, b, 0) : compare(instruction, a, b);
  const auto combined = [&](bool value) {
    if (operands.size() <= first + 2) return value;
    const bool other = read(thread, operands[first + 2]) != 0;
    return instruction.has("and")  ? value && other
           : instruction.has("or") ? value || other
                                   : value != other;
  };
  const bool second = of_pair ? compare_halves(instruction, a, b, 1) : !compared;
  const bool results[] = {combined(compared), combined(second)};
  write(thread, operands[0], results[0]);
  if (instruction.pair) write(thread, operands[1], results[1]);
}

static std::span<const Operand> elements_of(const Operand& operand) {
  if (operand.kind == Operand::Kind::vector) return operand.elements;
  return {&operand, 1};
}

// mov.b64 {a, b}, c and mov.b64 c, {a, b}: the first element is the lowest.
void Block::unpack(Thread& thread, const Instruction& instruction) const {
  const auto elements = elements_of(instruction.operands[0]);
  const uint64_t bits = read(thread, instruction.operands[1]);
  const auto width = static_cast<std::size_t>(width_of(instruction.type())) / elements.size();
  for (std::size_t i = 0; i < elements.size(); ++i) write(thread, elements[i], bits >> (i * width));
}

void Block::pack(Thread& thread, const Instruction& instruction) const {
  const auto elements = elements_of(instruction.operands[1]);
  const auto width = static_cast<std::size_t>(width_of(instruction.type())) / elements.size();
  uint64_t bits = 0;
  for (std::size_t i = 0; i < elements.size(); ++i)
    bits |= read(thread, elements[i]) << (i * width);
  write(thread, instruction.operands[0], bits);
}

void Block::load(Thread& thread, const Instruction& instruction) {
  const Type type = instruction.type();
  const auto bytes = static_cast<std::size_t>(ptx::bytes_of(type));
  const std::byte* from = memory(thread, instruction, instruction.operands[1]);
  for (const Operand& element : elements_of(instruction.operands[0])) {
    uint64_t bits = 0;
    std::memcpy(&bits, from, bytes);
    write(thread, element, static_cast<uint64_t>(value_of(bits, type)));
    from += bytes;
  }
}

void Block::store(Thread& thread, const Instruction& instruction) {
  const auto bytes = static_cast<std::size_t>(ptx::bytes_of(instruction.type()));
  std::byte* to = memory(thread, instruction, instruction.operands[0]);
  for (const Operand& element : elements_of(instruction.operands[1])) {
    const uint64_t bits = read(thread, element);
    std::memcpy(to, &bits, bytes);
    to += bytes;
  }
}

uint64_t combine(const Instruction& instruction, uint64_t a, uint64_t b) {
  for (const char* opcode : {"add", "min", "max", "and", "or", "xor"})
    if (instruction.has(opcode)) {
      Instruction operation;
      operation.opcode = opcode;
      operation.modifiers = instruction.modifiers;
      return *evaluate(operation, std::vector{a, b});
    }
  return b;  // exch
}

void Block::update(Thread& thread, const Instruction& instruction) {
  const std::size_t first = instruction.opcode == "atom" ? 1 : 0;
  const auto bytes = static_cast<std::size_t>(ptx::bytes_of(instruction.type()));
  std::byte* at = memory(thread, instruction, instruction.operands[first]);
  uint64_t old = 0;
  std::memcpy(&old, at, bytes);
  const uint64_t result = combine(instruction, old, read(thread, instruction.operands[first + 1]));
  std::memcpy(at, &result, bytes);
  if (first) write(thread, instruction.operands[0], old);
}

void interpret(const ptx::Module& module, std::string_view kernel, Dim3 grid, Dim3 block,
               std::span<const std::byte> parameters) {
  const ptx::Function* function = module.find(kernel);
  if (!function) throw Fault(CUDA_ERROR_NOT_FOUND, "interpreter: no kernel " + std::string(kernel));
  Dim3 id;
  for (id.z = 0; id.z < grid.z; ++id.z)
    for (id.y = 0; id.y < grid.y; ++id.y)
      for (id.x = 0; id.x < grid.x; ++id.x)
        Block(module, *function, grid, block, id, parameters).run();
}

}  // namespace octavo::emulator::random_ptx
