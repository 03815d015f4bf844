#include "memory/memory.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <shared_mutex>

#include "fault.hpp"
#include "memory/heap.hpp"

namespace octavo::emulator {
namespace {

constexpr std::uint64_t kAlignment = 512;
// Kept free behind every allocation, so that a step past the end never lands in the next one.
constexpr std::uint64_t kGap = 512;
// Freed ranges remembered for messages; older ones are described as plain non-memory.
constexpr std::size_t kFreedRemembered = 4096;

// An allocation is written at once, so that the host has to have it: more would not fail but end
// the process.
std::size_t host_bytes() {
  static const auto bytes = static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) / 8 * 7 *
                            static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

}  // namespace

struct Memory::State {
  std::size_t capacity = 0;
  std::size_t used = 0;
  std::map<std::uint64_t, std::uint64_t> live;   // begin -> bytes asked for
  std::map<std::uint64_t, std::uint64_t> freed;  // likewise; never overlaps `live`
  Heap heap;
  std::atomic<std::uint64_t> generation{1};
  mutable std::shared_mutex mutex;

  // The entry of `ranges` whose first byte is the last at or before this address.
  static auto before(const std::map<std::uint64_t, std::uint64_t>& ranges, std::uint64_t address) {
    auto next = ranges.upper_bound(address);
    return next == ranges.begin() ? ranges.end() : std::prev(next);
  }

  // Takes an allocation, of the heap or not, from those that are live; its bytes.
  std::size_t forget_live(std::uint64_t address, bool of_heap) {
    const auto it = live.find(address);
    if (it == live.end() || heap.owns(address) != of_heap) {
      const bool twice = freed.contains(address);
      throw Fault(CUDA_ERROR_INVALID_VALUE,
                  fmt::format("free of 0x{:x}, which {}", address,
                              twice ? "was freed already" : "no allocation starts at"));
    }
    const std::size_t bytes = it->second;
    if (freed.size() >= kFreedRemembered) freed.erase(freed.begin());
    freed[address] = bytes;
    live.erase(it);
    ++generation;
    return bytes;
  }

  void forget_freed(std::uint64_t begin, std::uint64_t end) {
    auto it = freed.lower_bound(begin);
    if (it != freed.begin() && std::prev(it)->first + std::prev(it)->second > begin) --it;
    while (it != freed.end() && it->first < end) it = freed.erase(it);
  }
};

Memory::Memory(std::size_t capacity) : state_(std::make_unique<State>()) {
  state_->capacity = capacity;
}

Memory::~Memory() {
  for (const auto& [begin, bytes] : state_->live) {
    if (!state_->heap.owns(begin)) std::free(reinterpret_cast<void*>(begin));
  }
}

std::uint64_t Memory::allocate(std::size_t bytes) {
  std::unique_lock lock(state_->mutex);
  const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  void* block = nullptr;
  const std::size_t most = std::min(state_->capacity, host_bytes());
  if (rounded >= bytes && rounded <= most - state_->used) {
    block = std::aligned_alloc(kAlignment, rounded + kGap);
  }
  if (block == nullptr) {
    throw Fault(CUDA_ERROR_OUT_OF_MEMORY,
                fmt::format("out of memory: {} bytes asked for, {} of {} free{}", bytes,
                            most - state_->used, most,
                            most < state_->capacity ? ", which is what the host has" : ""));
  }
  std::memset(block, 0xFF, rounded + kGap);
  const auto begin = reinterpret_cast<std::uint64_t>(block);
  state_->forget_freed(begin, begin + rounded + kGap);
  state_->live.emplace(begin, bytes);
  state_->used += rounded;
  ++state_->generation;
  return begin;
}

std::uint64_t Memory::allocate_heap(std::size_t bytes) {
  std::unique_lock lock(state_->mutex);
  const std::uint64_t begin = state_->heap.take(bytes);
  if (begin == 0) return 0;
  std::memset(reinterpret_cast<void*>(begin), 0xFF, bytes);
  state_->forget_freed(begin, begin + bytes);
  state_->live.emplace(begin, bytes);
  ++state_->generation;
  return begin;
}

void Memory::release(std::uint64_t address) {
  std::unique_lock lock(state_->mutex);
  const std::size_t bytes = state_->forget_live(address, false);
  state_->used -= (bytes + kAlignment - 1) / kAlignment * kAlignment;
  std::free(reinterpret_cast<void*>(address));
}

void Memory::release_heap(std::uint64_t address) {
  std::unique_lock lock(state_->mutex);
  state_->heap.give_back(address, state_->forget_live(address, true));
}

Memory::Range Memory::find(std::uint64_t address) const {
  std::shared_lock lock(state_->mutex);
  const auto it = State::before(state_->live, address);
  if (it == state_->live.end() || address - it->first >= it->second) return {};
  return {it->first, it->first + it->second};
}

std::uint64_t Memory::generation() const {
  return state_->generation.load(std::memory_order_acquire);
}

std::string Memory::describe(std::uint64_t address, std::uint64_t bytes) const {
  std::shared_lock lock(state_->mutex);
  if (address == 0) return "a null pointer";
  const auto live = State::before(state_->live, address);
  if (live != state_->live.end() && address - live->first < live->second + kGap) {
    const std::uint64_t end = live->first + live->second;
    if (address + bytes <= end) {
      return fmt::format("{} bytes into a {}-byte allocation", address - live->first, live->second);
    }
    if (address < end) {
      return fmt::format("{} bytes across the end of a {}-byte allocation", address + bytes - end,
                         live->second);
    }
    return fmt::format("{} bytes past the end of a {}-byte allocation", address - end,
                       live->second);
  }
  const auto freed = State::before(state_->freed, address);
  if (freed != state_->freed.end() && address - freed->first < freed->second) {
    return fmt::format("inside a {}-byte allocation that was freed", freed->second);
  }
  const auto after = state_->live.upper_bound(address);
  if (after != state_->live.end() && after->first - address <= kGap) {
    return fmt::format("{} bytes before a {}-byte allocation", after->first - address,
                       after->second);
  }
  return "not device memory";
}

std::size_t Memory::used() const {
  std::shared_lock lock(state_->mutex);
  return state_->used;
}

std::size_t Memory::capacity() const { return state_->capacity; }

}  // namespace octavo::emulator
