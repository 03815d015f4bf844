// Where kernels' own malloc takes memory from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>

namespace octavo::emulator {

// First fit. Its memory goes back to the host only with the heap itself: what one thread of a
// faulty kernel frees, another may be about to write. Not thread-safe.
class Heap {
 public:
  static constexpr std::size_t kBytes = 8u << 20;  // CUDA's own default
  static constexpr std::uint64_t kAlignment = 16;

  Heap() = default;
  ~Heap();
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;

  std::uint64_t take(std::size_t bytes);  // 0 if there is no room
  void give_back(std::uint64_t begin, std::size_t bytes);
  bool owns(std::uint64_t address) const { return address - begin_ < kBytes && begin_ != 0; }

 private:
  std::uint64_t begin_ = 0;
  std::map<std::uint64_t, std::uint64_t> free_;  // begin -> end, never adjacent
};

}  // namespace octavo::emulator
