// A block of threads as the interpreter runs it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "execute/program.hpp"
#include "ptx/ast.hpp"

namespace octavo::emulator::random_ptx {

// A function under way.
struct Frame {
  const ptx::Function* function = nullptr;
  std::vector<std::uint64_t> registers;
  std::map<std::string, std::vector<std::byte>> variables;  // parameters, results and local ones
  std::size_t next = 0;                                     // instruction
};

struct Thread {
  std::uint32_t index = 0;    // in the block
  std::vector<Frame> frames;  // the last one runs
  bool waiting = false, ended = false;
  int steps = 0;

  Frame& frame() { return frames.back(); }
  const Frame& frame() const { return frames.back(); }
  // That it has come to, or waits at.
  const ptx::Instruction& instruction() const { return frame().function->body[frame().next - 1]; }
  bool is_with(const Thread& other) const {
    return frame().function == other.frame().function && frame().next == other.frame().next;
  }
};

class Block {
 public:
  Block(const ptx::Module& module, const ptx::Function& kernel, Dim3 grid, Dim3 block, Dim3 id,
        std::span<const std::byte> parameters);
  void run();

 private:
  [[noreturn]] void unknown(const ptx::Instruction& instruction) const;

  std::uint64_t read(const Thread& thread, const ptx::Operand& operand) const;
  void write(Thread& thread, const ptx::Operand& operand, std::uint64_t bits) const;
  std::uint64_t special(const Thread& thread, const std::string& name) const;
  std::uint64_t address_of(const Thread& thread, const std::string& name) const;
  std::byte* memory(const Thread& thread, const ptx::Instruction& instruction,
                    const ptx::Operand& address);

  // Runs until the thread waits or ends.
  void advance(Thread& thread);
  void step(Thread& thread, const ptx::Instruction& instruction);
  void enter(Thread& thread, const ptx::Function& function) const;
  void call(Thread& thread, const ptx::Instruction& instruction) const;
  void leave(Thread& thread) const;
  void set_predicate(Thread& thread, const ptx::Instruction& instruction);
  void unpack(Thread& thread, const ptx::Instruction& instruction) const;
  void pack(Thread& thread, const ptx::Instruction& instruction) const;
  void load(Thread& thread, const ptx::Instruction& instruction);
  void store(Thread& thread, const ptx::Instruction& instruction);
  void update(Thread& thread, const ptx::Instruction& instruction);

  // --- meeting.cpp

  // Lets waiting threads go on where all that they wait for have come; false if there are none.
  bool meet_in_warps();
  bool meet_in_block();
  void exchange(std::span<Thread*> lanes, const ptx::Instruction& instruction);
  void shuffle(std::span<Thread*> lanes, const ptx::Instruction& instruction);
  void vote(std::span<Thread*> lanes, const ptx::Instruction& instruction);
  void reduce(std::span<Thread*> lanes, const ptx::Instruction& instruction);

  const ptx::Module& module_;
  Dim3 grid_, block_, id_;
  std::vector<std::byte> shared_;
  std::map<std::string, std::uint64_t> offsets_;  // of shared variables
  std::map<std::pair<const ptx::Function*, std::string>, std::size_t> labels_;
  std::vector<Thread> threads_;
};

// The operation of red, atom and redux is the modifier that an instruction could be named after.
std::uint64_t combine(const ptx::Instruction& instruction, std::uint64_t a, std::uint64_t b);

}  // namespace octavo::emulator::random_ptx
