#include "execute/undefined.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "execute/block.hpp"
#include "execute/helpers.hpp"

namespace octavo::emulator {
namespace {

// The bits of a word that stand for bytes [first, end), both counted from the word's own first.
std::uint64_t bits_of_word(std::uint64_t first, std::uint64_t end) {
  const std::uint64_t below_end = end >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << end) - 1;
  return below_end & ~((std::uint64_t{1} << first) - 1);
}

// body(word index, bits) for each word that the bytes touch; stops where it returns false.
template <typename F>
bool for_words(std::ptrdiff_t begin, std::uint64_t bytes, F&& body) {
  const auto first = static_cast<std::uint64_t>(begin);
  const std::uint64_t end = first + bytes;
  for (std::uint64_t at = first; at < end; at = (at / 64 + 1) * 64) {
    if (!body(at / 64, bits_of_word(at % 64, end - at / 64 * 64))) return false;
  }
  return true;
}

}  // namespace

void DefinedBytes::start(const std::byte* memory, std::size_t bytes) {
  memory_ = memory;
  bytes_ = bytes;
  words_.assign((bytes + 63) / 64, 0);
}

bool DefinedBytes::all(const std::byte* at, std::uint64_t bytes) const {
  return for_words(at - memory_, bytes, [&](std::uint64_t word, std::uint64_t bits) {
    return (words_[word] & bits) == bits;
  });
}

bool DefinedBytes::none(const std::byte* at, std::uint64_t bytes) const {
  return for_words(at - memory_, bytes, [&](std::uint64_t word, std::uint64_t bits) {
    return (words_[word] & bits) == 0;
  });
}

void DefinedBytes::set(const std::byte* at, std::uint64_t bytes, bool defined) {
  for_words(at - memory_, bytes, [&](std::uint64_t word, std::uint64_t bits) {
    words_[word] = defined ? words_[word] | bits : words_[word] & ~bits;
    return true;
  });
}

DefinedBytes* find_defined(const Warp& warp, const std::byte* at) {
  if (warp.shared_defined->contains(at)) return warp.shared_defined;
  return warp.local_defined->contains(at) ? warp.local_defined : nullptr;
}

void note_undefined(Warp& warp, std::uint32_t lanes) {
  auto& loads = *warp.undefined_loads;
  const auto known = std::find_if(loads.begin(), loads.end(), [&](const UndefinedLoad& load) {
    return load.line == warp.line;
  });
  if (known == loads.end()) {
    loads.push_back({warp.line, lanes});
    return;
  }
  known->lanes |= lanes;
  std::rotate(known, known + 1, loads.end());
}

void fault_undefined(Warp& warp, std::uint32_t lanes, Use use) {
  static constexpr const char* kUses[] = {"stores an undefined value", "the address is undefined",
                                          "the branch depends on an undefined value",
                                          "the predicate that guards it is undefined",
                                          "an operand is undefined"};
  const int lane = __builtin_ctz(lanes);
  fault(warp, lane, [&] {
    std::vector<int> lines;
    for (const UndefinedLoad& load : *warp.undefined_loads) {
      if ((load.lanes >> lane & 1) != 0) lines.push_back(load.line);
    }
    return fmt::format("{}: {}", kUses[static_cast<std::uint32_t>(use)],
                       warp.block->launch->undefined_origin(warp.line, lines));
  });
}

static void octavo_undefined(Warp* warp, std::uint32_t lanes, std::uint32_t use) {
  fault_undefined(*warp, lanes, static_cast<Use>(use));
}

// Of a value that every participating lane's result depends on (votes, matches, reductions): the
// lanes whose result is undefined.
static std::uint32_t octavo_undefined_spread(Warp* warp, std::uint32_t undefined,
                                             const std::uint32_t* members) {
  std::uint32_t result = 0;
  if ((undefined & warp->mask) == 0) return 0;
  for_lanes(warp->mask, [&](int lane) {
    if ((members[lane] & warp->mask & undefined) != 0) result |= 1u << lane;
  });
  return result;
}

// Of mma.m16n8kN: an undefined element of A makes its row of D undefined, one of B its column, one
// of C itself. `upper` and `lower` are the lanes of A's registers for rows 0-7 and 8-15; d holds a
// mask for each of C's registers and gets D's.
static void octavo_undefined_mma(std::uint32_t* d, std::uint32_t upper, std::uint32_t lower,
                                 std::uint32_t b, std::uint32_t registers) {
  if ((upper | lower | b) == 0) return;
  // The four lanes 4g..4g+3 hold a row of A, or a column of B.
  const auto has = [](std::uint32_t lanes, std::uint32_t group) {
    return (lanes >> (4 * group) & 0xF) != 0;
  };
  const bool pairs = registers == 2;  // 16-bit accumulators: a register is two columns
  for (std::uint32_t r = 0; r < registers; ++r) {
    const std::uint32_t rows = (pairs ? r : r / 2) == 0 ? upper : lower;
    for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
      const std::uint32_t column = lane % 4 * 2;
      const bool by_column = pairs ? has(b, column) && has(b, column + 1) : has(b, column + r % 2);
      if (has(rows, lane / 4) || by_column) d[r] |= 1u << lane;
    }
  }
}

// movmatrix: a lane's result comes from two lanes.
static std::uint32_t octavo_undefined_movmatrix(std::uint32_t undefined) {
  std::uint32_t result = 0;
  if (undefined == 0) return 0;
  for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
    const std::uint32_t column = lane / 4, row = lane % 4 * 2;
    const auto holds = [&](std::uint32_t r) { return undefined >> (4 * r + column / 2) & 1; };
    if (holds(row) != 0 && holds(row + 1) != 0) result |= 1u << lane;
  }
  return result;
}

std::span<const Helper> undefined_helpers() {
  static const Helper list[] = {
      OCTAVO_HELPER(octavo_undefined), OCTAVO_HELPER(octavo_undefined_spread),
      OCTAVO_HELPER(octavo_undefined_mma), OCTAVO_HELPER(octavo_undefined_movmatrix)};
  return list;
}

}  // namespace octavo::emulator
