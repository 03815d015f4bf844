#include "execute/warpgroup.hpp"

#include <tuple>

#include "execute/cluster.hpp"
#include "execute/helpers.hpp"

namespace octavo::emulator {
namespace {

Warpgroup& warpgroup_of(const Warp& warp) {
  auto& groups = warp.block->warpgroups;
  if (groups.empty()) groups.resize((warp.nwarpid + kWarpgroupWarps - 1) / kWarpgroupWarps);
  return groups[warp.warpid / kWarpgroupWarps];
}

}  // namespace

std::uint64_t same_in_all_lanes(Warp& warp, const char* name, const std::uint64_t* descriptors) {
  for (int lane = 1; lane < kLanes; ++lane) {
    if (descriptors[lane] == descriptors[0]) continue;
    fault(warp, CUDA_ERROR_LAUNCH_FAILED, lane,
          "the descriptor of %s is 0x%llx here but 0x%llx in lane 0", name,
          static_cast<unsigned long long>(descriptors[lane]),
          static_cast<unsigned long long>(descriptors[0]));
  }
  return descriptors[0];
}

void check_whole(Warp& warp) {
  if (warp.mask != kAllLanes) {
    fault(warp, CUDA_ERROR_LAUNCH_FAILED, __builtin_ctz(~warp.mask),
          "this lane does not take part: all of a warpgroup's 128 threads must");
  }
  const std::uint32_t first = warp.warpid / kWarpgroupWarps * kWarpgroupWarps;
  if (first + kWarpgroupWarps > warp.nwarpid) {
    fault(warp, CUDA_ERROR_LAUNCH_FAILED, 0,
          "warps %u to %u are not a warpgroup: it has four warps", first, warp.nwarpid - 1);
  }
}

void agree(Warp& warp, std::uint64_t a, std::uint64_t b) {
  Warpgroup& group = warpgroup_of(warp);
  const std::uint64_t index = warp.wgmmas->issued++ - group.first;
  const std::uint32_t self = warp.warpid % kWarpgroupWarps;
  if (index == group.issued.size()) {
    for (std::uint32_t i = 0; i < kWarpgroupWarps; ++i) {
      const Warp& other = *warp.block->warps[warp.warpid - self + i];
      if (other.state == WarpState::done) {
        fault(warp, CUDA_ERROR_LAUNCH_FAILED, 0,
              "warp %u of its warpgroup has exited without this wgmma", other.warpid);
      }
    }
    group.issued.push_back({warp.line, a, b, warp.warpid, 1u << self});
    return;
  }
  SharedWgmma& shared = group.issued[index];
  if (shared.line != warp.line) {
    fault(warp, CUDA_ERROR_LAUNCH_FAILED, 0,
          "warp %u of its warpgroup has executed the wgmma at line %d instead", shared.first_warp,
          shared.line);
  }
  for (const auto& [name, mine, theirs] : {std::tuple{"A", a, shared.a}, {"B", b, shared.b}}) {
    if (mine == theirs) continue;
    fault(warp, CUDA_ERROR_LAUNCH_FAILED, 0,
          "the descriptor of %s is 0x%llx here but 0x%llx in warp %u of its warpgroup", name,
          static_cast<unsigned long long>(mine), static_cast<unsigned long long>(theirs),
          shared.first_warp);
  }
  shared.warps |= 1u << self;
  if (shared.warps != (1u << kWarpgroupWarps) - 1) return;
  group.issued.pop_front();  // the others have come through all before it
  ++group.first;
}

void leave_warpgroup(Warp& warp) {
  if (warp.block->warpgroups.empty()) return;
  const Warpgroup& group = warpgroup_of(warp);
  const std::uint64_t missing = warp.wgmmas->issued - group.first;
  if (missing >= group.issued.size()) return;
  const SharedWgmma& other = group.issued[missing];
  fault(warp, CUDA_ERROR_LAUNCH_FAILED, 0,
        "exits, but warp %u of its warpgroup has executed the wgmma at line %d", other.first_warp,
        other.line);
}

}  // namespace octavo::emulator
