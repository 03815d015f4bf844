// Values that are undefined: what shared and local memory and registers hold until something is
// written there. Compiled kernels carry, beside a register's value, the lanes in which it is
// undefined; memory has a bit for each byte. Copying and computing with undefined values is no
// fault; storing one to global memory, or letting one decide an address or a branch, is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace octavo::emulator {

struct Warp;

// Which bytes of a memory hold a value. Not thread-safe.
class DefinedBytes {
 public:
  // None of this memory's does.
  void start(const std::byte* memory, std::size_t bytes);
  bool contains(const std::byte* at) const {
    return at >= memory_ && static_cast<std::size_t>(at - memory_) < bytes_;
  }
  // Of bytes that it contains.
  bool all(const std::byte* at, std::uint64_t bytes) const;
  bool none(const std::byte* at, std::uint64_t bytes) const;
  void set(const std::byte* at, std::uint64_t bytes, bool defined = true);

 private:
  const std::byte* memory_ = nullptr;
  std::size_t bytes_ = 0;
  std::vector<std::uint64_t> words_;  // a bit a byte
};

// A line whose instruction read undefined memory, and the lanes in which it did; kept by warp, the
// latest last.
struct UndefinedLoad {
  int line;
  std::uint32_t lanes;
};

// The shared or local memory that a host address lies in; nullptr for other memory, whose bytes are
// all defined.
DefinedBytes* find_defined(const Warp& warp, const std::byte* at);

// What was written there.
inline void set_defined(const Warp& warp, const std::byte* at, std::uint64_t bytes,
                        bool defined = true) {
  if (DefinedBytes* memory = find_defined(warp, at)) memory->set(at, bytes, defined);
}

// Whether none of these bytes holds a value. Half a value is one: the rest may be padding.
inline bool is_undefined(const Warp& warp, const std::byte* at, std::uint64_t bytes) {
  const DefinedBytes* memory = find_defined(warp, at);
  return memory != nullptr && memory->none(at, bytes);
}

// Remembers, for a later fault's message, that the current line read undefined memory.
void note_undefined(Warp& warp, std::uint32_t lanes);

// What an undefined value was used for, when that is a fault.
enum class Use : std::uint32_t { store, address, branch, guard, operand };
[[noreturn]] void fault_undefined(Warp& warp, std::uint32_t lanes, Use use);

}  // namespace octavo::emulator
