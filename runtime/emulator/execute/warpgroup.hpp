// The four warps that execute a wgmma together, and what they have to agree on.
#pragma once

#include <cstdint>
#include <deque>

namespace octavo::emulator {

struct Warp;

constexpr std::uint32_t kWarpgroupWarps = 4;

// The n-th wgmma of a warpgroup, until all four warps have issued it.
struct SharedWgmma {
  std::int32_t line;
  std::uint64_t a, b;  // descriptors
  std::uint32_t first_warp, warps;
};
struct Warpgroup {
  std::deque<SharedWgmma> issued;
  std::uint64_t first = 0;  // the number of issued.front()
};

// A fault unless all threads of the warp and all warps of its warpgroup take part.
void check_whole(Warp& warp);
// The descriptor that every lane gives; a fault unless it is the same.
std::uint64_t same_in_all_lanes(Warp& warp, const char* name, const std::uint64_t* descriptors);
// The four warps' n-th wgmmas are one: a fault unless its line and descriptors are the same.
void agree(Warp& warp, std::uint64_t a, std::uint64_t b);

// The warp is about to end: a fault if the others of its warpgroup have issued more wgmmas.
void leave_warpgroup(Warp& warp);

}  // namespace octavo::emulator
