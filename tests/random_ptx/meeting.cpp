// Threads that wait for each other: warps' instructions and barriers.
#include "block.hpp"

namespace octavo::emulator::random_ptx {

using ptx::Instruction;
using std::uint32_t;
using std::uint64_t;

namespace {

constexpr uint32_t kWarp = 32;

}  // namespace

bool Block::meet_in_warps() {
  bool met = false;
  for (Thread& thread : threads_) {
    if (!thread.waiting) continue;
    const Instruction& instruction = thread.instruction();
    if (instruction.opcode == "bar" && !instruction.has("warp")) continue;
    const auto members = static_cast<uint32_t>(read(thread, instruction.operands.back()));
    const std::size_t warp = thread.index / kWarp * kWarp;
    std::vector<Thread*> lanes;
    bool complete = true;
    for (uint32_t lane = 0; lane < kWarp && warp + lane < threads_.size(); ++lane) {
      Thread& member = threads_[warp + lane];
      if (!(members >> lane & 1) || member.ended) continue;
      complete &= member.waiting && member.is_with(thread);
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
    if (thread.instruction().opcode != "bar") return false;
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

}  // namespace octavo::emulator::random_ptx
