#include "memory/heap.hpp"

#include <cstdlib>
#include <iterator>

namespace octavo::emulator {
namespace {

// Kept free behind every piece.
constexpr std::uint64_t kGap = Heap::kAlignment;

std::uint64_t with_gap(std::size_t bytes) {
  return (bytes + Heap::kAlignment - 1) / Heap::kAlignment * Heap::kAlignment + kGap;
}

}  // namespace

Heap::~Heap() { std::free(reinterpret_cast<void*>(begin_)); }

std::uint64_t Heap::take(std::size_t bytes) {
  if (bytes > kBytes) return 0;
  if (begin_ == 0) {
    begin_ = reinterpret_cast<std::uint64_t>(std::aligned_alloc(4096, kBytes));
    if (begin_ == 0) return 0;
    free_.emplace(begin_, begin_ + kBytes);
  }
  const std::uint64_t size = with_gap(bytes);
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    const auto [begin, end] = *it;
    if (end - begin < size) continue;
    free_.erase(it);
    if (begin + size != end) free_.emplace(begin + size, end);
    return begin;
  }
  return 0;
}

void Heap::give_back(std::uint64_t begin, std::size_t bytes) {
  std::uint64_t end = begin + with_gap(bytes);
  auto after = free_.lower_bound(begin);
  if (after != free_.end() && after->first == end) {
    end = after->second;
    after = free_.erase(after);
  }
  if (after != free_.begin() && std::prev(after)->second == begin) {
    std::prev(after)->second = end;
  } else {
    free_.emplace(begin, end);
  }
}

}  // namespace octavo::emulator
