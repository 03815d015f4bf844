// bar, barrier and barrier.cluster: a block's sixteen barriers, and the one of its cluster.
//
// It is warps that arrive. At an aligned instruction all lanes of a warp are there together; at
// others each lane is held until the last live one of its warp has come, wherever that is.
#include <fmt/core.h>

#include <utility>

#include "execute/cluster.hpp"
#include "execute/helpers.hpp"

namespace octavo::emulator {
namespace {

// Each running lane names the barrier; they must agree.
std::uint32_t same(Warp& warp, const std::uint32_t* values, const char* what) {
  if (values == nullptr) return 0;
  const int first = __builtin_ctz(warp.mask);
  for_lanes(warp.mask, [&](int lane) {
    if (values[lane] != values[first]) {
      fault(warp, CUDA_ERROR_LAUNCH_FAILED, lane, "%s %u here but %u in lane %d of the same warp",
            what, values[lane], values[first], first);
    }
  });
  return values[first];
}

std::uint32_t arrived_threads(const Barrier& barrier) {
  return static_cast<std::uint32_t>(__builtin_popcount(barrier.warps)) * kLanes;
}

void wait(Warp& warp, Waits what) {
  warp.waits = what;
  warp.state = WarpState::waiting;
}

// Completes the barrier if all it waits for have arrived.
void try_complete(Block& block, std::uint32_t id) {
  Barrier& barrier = block.barriers[id];
  if (barrier.warps == 0) return;
  const auto warps = static_cast<std::uint32_t>(__builtin_popcount(barrier.warps));
  if (barrier.expected == 0 ? warps < block.live_warps : warps * kLanes < barrier.expected) return;
  for (Warp* warp : block.warps) {
    if (warp->state != WarpState::waiting || warp->waits != Waits::barrier || warp->barrier != id) {
      continue;
    }
    warp->state = WarpState::ready;
    if (warp->shadow != nullptr) {
      warp->shadow->clocks.acquire(cluster_warp(*warp), barrier.clock);
      if (barrier.expected == 0)
        warp->shadow->clocks.acquire(cluster_warp(*warp), block.cluster->exited);
      warp->shadow->clocks.converge(cluster_warp(*warp));
    }
    warp->barrier_result[0] = barrier.count;
    warp->barrier_result[1] = barrier.all ? ~0u : 0;
    warp->barrier_result[2] = barrier.any ? ~0u : 0;
  }
  barrier = Barrier{};
}

void check(Warp& warp, const AtBarrier& at) {
  const int lane = __builtin_ctz(at.lanes);
  if (at.id >= kBarriers) {
    fault(warp, CUDA_ERROR_ILLEGAL_INSTRUCTION, lane, "barrier %u; there are 0 to %d", at.id,
          kBarriers - 1);
  }
  if (at.threads % kLanes != 0) {
    fault(warp, CUDA_ERROR_ILLEGAL_INSTRUCTION, lane, "%u threads, not a multiple of the warp size",
          at.threads);
  }
  if (at.operation == BarrierOperation::arrive && at.threads == 0) {
    fault(warp, CUDA_ERROR_ILLEGAL_INSTRUCTION, lane, "an arrival needs a number of threads");
  }
  const Barrier& barrier = warp.block->barriers[at.id];
  if (barrier.warps == 0) return;
  if (barrier.expected != at.threads) {
    fault(warp, CUDA_ERROR_LAUNCH_FAILED, lane,
          "barrier %u expects %u threads here but %u elsewhere (0: all of the block)", at.id,
          at.threads, barrier.expected);
  }
  if (barrier.reduces != (at.operation == BarrierOperation::reduce)) {
    fault(warp, CUDA_ERROR_LAUNCH_FAILED, lane,
          "barrier %u reduces for some warps and only synchronises others", at.id);
  }
  if ((barrier.warps >> warp.warpid & 1) != 0) {
    fault(warp, CUDA_ERROR_LAUNCH_FAILED, lane,
          "the warp arrives at barrier %u once more before it has completed", at.id);
  }
}

void arrive(Warp& warp, const AtBarrier& at) {
  check(warp, at);
  Barrier& barrier = warp.block->barriers[at.id];
  barrier.expected = at.threads;
  barrier.warps |= 1u << warp.warpid;
  barrier.reduces = at.operation == BarrierOperation::reduce;
  barrier.count += static_cast<std::uint32_t>(__builtin_popcount(at.predicate));
  barrier.all &= at.predicate == at.lanes;
  barrier.any |= at.predicate != 0;
  warp.advanced = true;
  if (warp.shadow != nullptr) warp.shadow->clocks.release(cluster_warp(warp), barrier.clock);
  if (at.operation != BarrierOperation::arrive) {
    warp.barrier = at.id;
    wait(warp, Waits::barrier);
  }
  try_complete(*warp.block, at.id);
  while (warp.state == WarpState::waiting) yield(warp);
}

void try_complete(Cluster& cluster) {
  if (cluster.arrived_warps == 0 || cluster.arrived_warps < cluster.live_warps) return;
  ++cluster.barrier_phase;
  cluster.arrived_warps = 0;
  cluster.barrier_clock = std::exchange(cluster.arrived_clock, Clock{});
  for (Warp* warp : cluster.warps) {
    if (warp->state == WarpState::waiting && warp->waits == Waits::cluster_barrier) {
      warp->state = WarpState::ready;
    }
  }
}

bool arrived_in_phase(const Warp& warp) {
  return warp.cluster_arrived && warp.cluster_phase == warp.block->cluster->barrier_phase;
}

void arrive_at_cluster(Warp& warp, int lane, bool releases) {
  Cluster& cluster = *warp.block->cluster;
  if (arrived_in_phase(warp)) {
    fault(warp, CUDA_ERROR_LAUNCH_FAILED, lane,
          "the warp arrives at the cluster's barrier once more before it has completed");
  }
  warp.cluster_arrived = warp.advanced = true;
  warp.cluster_phase = cluster.barrier_phase;
  ++cluster.arrived_warps;
  if (warp.shadow != nullptr && releases) {
    warp.shadow->clocks.release(cluster_warp(warp), cluster.arrived_clock);
  }
  try_complete(cluster);
}

void wait_for_cluster(Warp& warp, int lane) {
  if (!warp.cluster_arrived) {
    fault(warp, CUDA_ERROR_LAUNCH_FAILED, lane,
          "a wait at the cluster's barrier without an arrival before it");
  }
  if (arrived_in_phase(warp)) wait(warp, Waits::cluster_barrier);
  while (warp.state == WarpState::waiting) yield(warp);
  warp.cluster_arrived = false;
  if (warp.shadow == nullptr) return;
  warp.shadow->clocks.acquire(cluster_warp(warp), warp.block->cluster->barrier_clock);
  warp.shadow->clocks.acquire(cluster_warp(warp), warp.block->cluster->exited);
  warp.shadow->clocks.converge(cluster_warp(warp));
}

void perform(Warp& warp, const AtBarrier& at) {
  const int lane = __builtin_ctz(at.lanes);
  switch (at.operation) {
    case BarrierOperation::cluster_arrive:
    case BarrierOperation::cluster_arrive_relaxed:
      return arrive_at_cluster(warp, lane, at.operation == BarrierOperation::cluster_arrive);
    case BarrierOperation::cluster_wait:
      return wait_for_cluster(warp, lane);
    default:
      arrive(warp, at);
  }
}

AtBarrier at_barrier(Warp& warp, std::uint32_t operation, const std::uint32_t* id,
                     const std::uint32_t* threads, std::uint32_t predicate) {
  return {warp.mask,
          static_cast<BarrierOperation>(operation),
          same(warp, id, "barrier"),
          same(warp, threads, "thread count"),
          predicate & warp.mask,
          warp.line};
}

}  // namespace

void arrive_held(Warp& warp) {
  const AtBarrier at = warp.held;
  warp.held = {};
  warp.line = at.line;
  perform(warp, at);
}

void leave_barriers(Warp& warp) {
  Cluster& cluster = *warp.block->cluster;
  if (warp.shadow != nullptr) warp.shadow->clocks.release(cluster_warp(warp), cluster.exited);
  for (std::uint32_t b = 0; b < kBarriers; ++b) try_complete(*warp.block, b);
  if (arrived_in_phase(warp)) --cluster.arrived_warps;
  try_complete(cluster);
}

std::string describe_wait(const Warp& warp) {
  const Block& block = *warp.block;
  switch (warp.waits) {
    case Waits::cluster_barrier:
      return fmt::format("barrier.cluster ({} of {} warps arrived", block.cluster->arrived_warps,
                         block.cluster->live_warps);
    case Waits::registers:
      return fmt::format("setmaxnreg.inc (has {} registers a thread, its block {} to give",
                         warp.registers, block.free_registers);
    case Waits::barrier:
      break;
  }
  const Barrier& barrier = block.barriers[warp.barrier];
  return fmt::format(
      "barrier {} ({} of {} threads arrived", warp.barrier, arrived_threads(barrier),
      barrier.expected == 0 ? block.live_warps * std::uint32_t{kLanes} : barrier.expected);
}

// All live lanes are here. The barrier and its threads are null where there are none.
static void octavo_barrier(Warp* warp, std::uint32_t operation, const std::uint32_t* id,
                           const std::uint32_t* threads, std::uint32_t predicate) {
  perform(*warp, at_barrier(*warp, operation, id, threads, predicate));
}

// The running lanes are held; they go on at `next` once the warp has arrived.
static void octavo_barrier_lanes(Warp* warp, std::uint32_t operation, const std::uint32_t* id,
                                 const std::uint32_t* threads, std::uint32_t predicate,
                                 std::uint32_t next) {
  AtBarrier at = at_barrier(*warp, operation, id, threads, predicate);
  const AtBarrier& held = warp->held;
  if (held.lanes != 0 && !at.same_place(held)) {
    fault(*warp, CUDA_ERROR_LAUNCH_FAILED, __builtin_ctz(at.lanes),
          "lanes wait for those of their warp that are at another barrier, on line %d", held.line);
  }
  at.lanes |= held.lanes;
  at.predicate |= held.predicate;
  warp->held = at;
  for_lanes(warp->mask, [&](int lane) { warp->next[lane] = next; });
}

std::span<const Helper> barrier_helpers() {
  static const Helper list[] = {OCTAVO_HELPER(octavo_barrier), OCTAVO_HELPER(octavo_barrier_lanes)};
  return list;
}

}  // namespace octavo::emulator
