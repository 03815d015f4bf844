#include "execute/cluster.hpp"

#include <fmt/core.h>

#include <utility>

#include "execute/mbarrier.hpp"

namespace octavo::emulator {
namespace {

constexpr std::int32_t kBudget = 256;
constexpr std::size_t kLongestList = 400;
// A warp may ask several mbarriers in turn, and go on when one of them is complete.
constexpr int kIdleRounds = 32;

void shuffle(Cluster& cluster) {
  auto& warps = cluster.warps;
  for (std::size_t left = warps.size(); left > 1; --left) {
    std::swap(warps[left - 1], warps[cluster.schedule.below(left)]);
  }
}

// True if the warp did more than to poll.
bool run(Cluster& cluster, Warp& warp) {
  warp.block->started = true;
  warp.polled = warp.polled_memory = warp.advanced = false;
  warp.budget = cluster.launch->order.random_schedule
                    ? static_cast<std::int32_t>(1 + cluster.schedule.below(kBudget))
                    : kBudget;
  warp.fiber.resume();
  return warp.advanced || !warp.polled || warp.state != WarpState::ready;
}

bool waits_in_vain(const Warp& warp) {
  return warp.mbarrier_wait != nullptr && !warp.mbarrier_wait->over();
}

// Nothing but the cluster's own warps and operations can complete an mbarrier, and they do nothing.
bool can_never_end(const Cluster& cluster) {
  if (cluster.idle_rounds < kIdleRounds) return false;
  bool waits = false;
  for (const Warp* warp : cluster.warps) {
    if (warp->state == WarpState::ready && warp->polled_memory) return false;
    waits = waits || warp->mbarrier_wait != nullptr;
  }
  return waits;
}

std::string place(const Cluster& cluster, const Warp& warp) {
  std::string text;
  if (cluster.blocks.size() > 1) text = fmt::format("block {} ", warp.block->rank);
  text += fmt::format("warp {}", warp.warpid);
  if (const MbarrierWait* wait = warp.mbarrier_wait) {
    return text + fmt::format(" line {} waits for {}", warp.line,
                              describe(cluster, wait->mbarrier[__builtin_ctz(wait->lanes)]));
  }
  if (warp.state == WarpState::ready) return text + fmt::format(" near line {}", warp.line);
  return text + fmt::format(" at {}, line {})", describe_wait(warp), warp.line);
}

}  // namespace

bool run_round(Cluster& cluster) {
  bool ran = false, advanced = false;
  if (cluster.launch->order.random_schedule) shuffle(cluster);
  for (Warp* warp : cluster.warps) {
    if (warp->state != WarpState::ready) continue;
    ran = true;
    if (cluster.idle_rounds == 0 && waits_in_vain(*warp)) continue;
    advanced = run(cluster, *warp) || advanced;
    if (cluster.async != nullptr) cluster.async->perform_at_random();
    if (cluster.fault) return true;
  }
  if (advanced || cluster.live_warps == 0 ||
      (cluster.async != nullptr && cluster.async->perform_awaited())) {
    cluster.idle_rounds = 0;
    return true;
  }
  ++cluster.idle_rounds;
  if (!ran || can_never_end(cluster)) {
    cluster.fault = cluster_fault(cluster, "waits that can never complete");
    return true;
  }
  return false;
}

void finish(Warp& warp) {
  leave_warpgroup(warp);
  warp.state = WarpState::done;
  Block& block = *warp.block;
  --block.live_warps;
  --block.cluster->live_warps;
  leave_barriers(warp);
  if (block.live_warps == 0) let_go(block);
  if (block.live_warps == 0 && block.cluster->async != nullptr) {
    block.cluster->async->end_block(block);
  }
}

Fault cluster_fault(const Cluster& cluster, const char* what) {
  std::string places;
  for (const Block& block : cluster.blocks) {
    for (const Warp* warp : block.warps) {
      if (warp->state == WarpState::done || places.size() > kLongestList) continue;
      places += (places.empty() ? "" : ", ") + place(cluster, *warp);
    }
  }
  const auto& index = cluster.blocks[0].index;
  return Fault(CUDA_ERROR_LAUNCH_FAILED,
               fmt::format("kernel {}: {} ({},{},{}): {}: {}", cluster.launch->info->name,
                           cluster.blocks.size() > 1 ? "cluster of block" : "block", index[0],
                           index[1], index[2], what, places));
}

}  // namespace octavo::emulator
