#include "interpreter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "arithmetic.hpp"
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

struct Thread {
  uint32_t index = 0;  // in the block
  std::vector<uint64_t> registers;
  std::size_t next = 0;  // instruction
  bool waiting = false, ended = false;
  int steps = 0;
};

class Block {
 public:
  Block(const ptx::Module& module, const ptx::Function& kernel, Dim3 grid, Dim3 block, Dim3 id,
        std::span<const std::byte> parameters);
  void run();

 private:
  [[noreturn]] void unknown(const Instruction& instruction) const;

  uint64_t read(const Thread& thread, const Operand& operand) const;
  void write(Thread& thread, const Operand& operand, uint64_t bits) const;
  uint64_t special(const Thread& thread, const std::string& name) const;
  std::byte* memory(const Thread& thread, const Instruction& instruction, const Operand& address);

  // Runs until the thread waits or ends.
  void advance(Thread& thread);
  void step(Thread& thread, const Instruction& instruction);
  void set_predicate(Thread& thread, const Instruction& instruction);
  void unpack(Thread& thread, const Instruction& instruction) const;
  void pack(Thread& thread, const Instruction& instruction) const;
  void load(Thread& thread, const Instruction& instruction);
  void store(Thread& thread, const Instruction& instruction);
  void update(Thread& thread, const Instruction& instruction);

  // Lets waiting threads go on where all that they wait for have come; false if there are none.
  bool meet_in_warps();
  bool meet_in_block();
  void exchange(std::span<Thread*> lanes, const Instruction& instruction);
  void shuffle(std::span<Thread*> lanes, const Instruction& instruction);
  void vote(std::span<Thread*> lanes, const Instruction& instruction);
  void reduce(std::span<Thread*> lanes, const Instruction& instruction);

  const ptx::Function& kernel_;
  Dim3 grid_, block_, id_;
  std::vector<std::byte> parameters_, shared_;
  std::map<std::string, uint64_t> offsets_;  // of parameters and shared variables
  std::map<std::string, std::size_t> labels_;
  std::vector<Thread> threads_;
};

uint64_t aligned(uint64_t offset, uint64_t alignment) {
  return (offset + alignment - 1) / alignment * alignment;
}

Block::Block(const ptx::Module& module, const ptx::Function& kernel, Dim3 grid, Dim3 block, Dim3 id,
             std::span<const std::byte> parameters)
    : kernel_(kernel),
      grid_(grid),
      block_(block),
      id_(id),
      parameters_(parameters.begin(), parameters.end()) {
  uint64_t offset = 0;
  for (const ptx::Variable& parameter : kernel.parameters) {
    offset = aligned(offset, parameter.alignment);
    offsets_[parameter.name] = offset;
    offset += parameter.bytes;
  }
  for (const auto* variables : {&module.variables, &kernel.variables})
    for (const ptx::Variable& variable : *variables) {
      if (variable.space != ptx::Space::shared) continue;
      const uint64_t place = aligned(shared_.size(), variable.alignment);
      offsets_[variable.name] = place;
      shared_.resize(place + variable.bytes);
    }
  for (const ptx::Label& label : kernel.labels) labels_[label.name] = label.instruction;
  threads_.resize(block.x * block.y * block.z);
  for (uint32_t i = 0; i < threads_.size(); ++i) {
    threads_[i].index = i;
    threads_[i].registers.resize(kernel.registers.size());
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
      return operand.negated ? thread.registers[operand.reg] ^ 1 : thread.registers[operand.reg];
    case Operand::Kind::immediate:
      return operand.bits;
    case Operand::Kind::special:
      return special(thread, operand.text);
    case Operand::Kind::symbol:
      return offsets_.at(operand.text) + static_cast<uint64_t>(operand.offset);
    default:
      throw Fault(CUDA_ERROR_NOT_SUPPORTED, "interpreter: operand " + operand.text);
  }
}

void Block::write(Thread& thread, const Operand& operand, uint64_t bits) const {
  if (operand.kind == Operand::Kind::sink) return;
  const Type type = kernel_.registers[operand.reg].type;
  thread.registers[operand.reg] =
      type == Type::pred ? bits & 1 : static_cast<uint64_t>(value_of(bits, width_of(type), false));
}

std::byte* Block::memory(const Thread& thread, const Instruction& instruction,
                         const Operand& address) {
  const uint64_t base = address.has_reg ? thread.registers[address.reg] : offsets_.at(address.text);
  const uint64_t at = base + static_cast<uint64_t>(address.offset);
  if (instruction.has("param")) return &parameters_.at(at);
  if (instruction.has("shared")) return &shared_.at(at);
  if (!instruction.has("global")) unknown(instruction);
  return reinterpret_cast<std::byte*>(at);
}

void Block::advance(Thread& thread) {
  while (!thread.waiting && !thread.ended) {
    if (thread.next >= kernel_.body.size()) {
      thread.ended = true;
      return;
    }
    if (++thread.steps > kMaxSteps)
      throw Fault(CUDA_ERROR_LAUNCH_FAILED, "interpreter: a thread does not end");
    const Instruction& instruction = kernel_.body[thread.next++];
    if (instruction.guarded &&
        (thread.registers[instruction.guard] != 0) == instruction.guard_negated)
      continue;
    step(thread, instruction);
  }
}

void Block::step(Thread& thread, const Instruction& instruction) {
  const std::string& opcode = instruction.opcode;
  if (opcode == "ret" || opcode == "exit") {
    thread.ended = true;
  } else if (opcode == "bra") {
    thread.next = labels_.at(instruction.operands[0].text);
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
  const bool compared =
      compare(instruction, read(thread, operands[first]), read(thread, operands[first + 1]));
  const auto combined = [&](bool value) {
    if (operands.size() <= first + 2) return value;
    const bool other = read(thread, operands[first + 2]) != 0;
    return instruction.has("and")  ? value && other
           : instruction.has("or") ? value || other
                                   : value != other;
  };
  const bool yes = combined(compared), no = combined(!compared);
  write(thread, operands[0], yes);
  if (instruction.pair) write(thread, operands[1], no);
}

std::span<const Operand> elements_of(const Operand& operand) {
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

// The operation of red, atom and redux is the modifier that an instruction could be named after.
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

bool Block::meet_in_warps() {
  bool met = false;
  for (Thread& thread : threads_) {
    if (!thread.waiting) continue;
    const Instruction& instruction = kernel_.body[thread.next - 1];
    if (instruction.opcode == "bar" && !instruction.has("warp")) continue;
    const auto members = static_cast<uint32_t>(read(thread, instruction.operands.back()));
    const std::size_t warp = thread.index / kWarp * kWarp;
    std::vector<Thread*> lanes;
    bool complete = true;
    for (uint32_t lane = 0; lane < kWarp && warp + lane < threads_.size(); ++lane) {
      Thread& member = threads_[warp + lane];
      if (!(members >> lane & 1) || member.ended) continue;
      complete &= member.waiting && member.next == thread.next;
      lanes.push_back(&member);
    }
    if (!complete) continue;
    exchange(lanes, instruction);
    for (Thread* lane : lanes) lane->waiting = false;
    met = true;
  }
  return met;
}

bool Block::meet_in_block() {
  bool any = false;
  for (const Thread& thread : threads_) {
    if (thread.ended) continue;
    if (kernel_.body[thread.next - 1].opcode != "bar") return false;
    any = true;
  }
  for (Thread& thread : threads_) thread.waiting = false;
  return any;
}

void Block::exchange(std::span<Thread*> lanes, const Instruction& instruction) {
  if (instruction.opcode == "shfl") return shuffle(lanes, instruction);
  if (instruction.opcode == "vote") return vote(lanes, instruction);
  if (instruction.opcode == "redux") return reduce(lanes, instruction);
  if (instruction.opcode != "bar") unknown(instruction);
}

void Block::shuffle(std::span<Thread*> lanes, const Instruction& instruction) {
  const std::size_t first = instruction.pair ? 2 : 1;
  const auto& operands = instruction.operands;
  std::map<uint32_t, uint64_t> values;
  for (const Thread* thread : lanes) values[thread->index % kWarp] = read(*thread, operands[first]);
  std::vector<std::pair<uint64_t, bool>> results;
  for (const Thread* thread : lanes) {
    const auto lane = static_cast<int>(thread->index % kWarp);
    const auto b = static_cast<int>(read(*thread, operands[first + 1]) & 31);
    const auto c = static_cast<int>(read(*thread, operands[first + 2]));
    const int segment = c >> 8 & 31, lowest = lane & segment;
    const int highest = lowest | (c & 31 & ~segment);
    const int from = instruction.has("up")     ? lane - b
                     : instruction.has("down") ? lane + b
                     : instruction.has("bfly") ? lane ^ b
                                               : lowest | (b & ~segment);
    const bool inside = instruction.has("up") ? from >= highest : from <= highest;
    results.emplace_back(values.at(static_cast<uint32_t>(inside ? from : lane)), inside);
  }
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    write(*lanes[i], operands[0], results[i].first);
    if (instruction.pair) write(*lanes[i], operands[1], results[i].second);
  }
}

void Block::vote(std::span<Thread*> lanes, const Instruction& instruction) {
  uint32_t ballot = 0, members = 0;
  for (const Thread* thread : lanes) {
    const uint32_t bit = 1u << thread->index % kWarp;
    members |= bit;
    if (read(*thread, instruction.operands[1])) ballot |= bit;
  }
  const uint32_t result = instruction.has("ballot") ? ballot
                          : instruction.has("all")  ? ballot == members
                          : instruction.has("any")  ? ballot != 0
                                                    : ballot == members || ballot == 0;  // uni
  for (Thread* thread : lanes) write(*thread, instruction.operands[0], result);
}

void Block::reduce(std::span<Thread*> lanes, const Instruction& instruction) {
  uint64_t result = read(*lanes[0], instruction.operands[1]);
  for (const Thread* thread : lanes.subspan(1))
    result = combine(instruction, result, read(*thread, instruction.operands[1]));
  for (Thread* thread : lanes) write(*thread, instruction.operands[0], result);
}

}  // namespace

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
