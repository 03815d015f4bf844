// bar.* and barrier.*: a block's sixteen barriers.
#include "execute/cluster.hpp"
#include "execute/helpers.hpp"

namespace octavo::emulator {
namespace {

enum Reduction : std::uint32_t { kNone, kPopc, kAnd, kOr };

// Each running lane names the barrier; they must agree.
std::uint32_t same(Warp& warp, const std::uint32_t* values, const char* what) {
  const int first = __builtin_ctz(warp.mask);
  for_lanes(warp.mask, [&](int lane) {
    if (values[lane] != values[first]) {
      fault(warp, CUDA_ERROR_LAUNCH_FAILED, lane, "%s %u here but %u in lane %d of the same warp",
            what, values[lane], values[first], first);
    }
  });
  return values[first];
}

Barrier& arrive(Warp& warp, std::uint32_t id, std::uint32_t count) {
  if (id >= kBarriers) {
    fault(warp, CUDA_ERROR_ILLEGAL_INSTRUCTION, 0, "barrier %u; there are 0 to %d", id,
          kBarriers - 1);
  }
  if (count % kLanes != 0) {
    fault(warp, CUDA_ERROR_ILLEGAL_INSTRUCTION, 0, "%u threads, not a multiple of the warp size",
          count);
  }
  Barrier& barrier = warp.block->barriers[id];
  if (barrier.warps != 0 && barrier.expected != count) {
    fault(warp, CUDA_ERROR_LAUNCH_FAILED, 0, "barrier %u expects %u threads here but %u elsewhere",
          id, count, barrier.expected);
  }
  barrier.expected = count;
  barrier.threads += kLanes;
  ++barrier.warps;
  warp.advanced = true;
  if (warp.shadow != nullptr) warp.shadow->clocks.release(cluster_warp(warp), barrier.clock);
  return barrier;
}

void wait(Warp& warp, std::uint32_t id) {
  warp.state = WarpState::waiting;
  warp.barrier = id;
  try_complete(*warp.block, id);
  while (warp.state == WarpState::waiting) yield(warp);
}

}  // namespace

void try_complete(Block& block, std::uint32_t id) {
  Barrier& barrier = block.barriers[id];
  if (barrier.warps == 0) return;
  const bool complete = barrier.expected == 0 ? barrier.warps >= block.live_warps
                                              : barrier.threads >= barrier.expected;
  if (!complete) return;
  for (Warp* warp : block.warps) {
    if (warp->state != WarpState::waiting || warp->barrier != id) continue;
    warp->state = WarpState::ready;
    if (warp->shadow != nullptr) {
      warp->shadow->clocks.acquire(cluster_warp(*warp), barrier.clock);
      warp->shadow->clocks.converge(cluster_warp(*warp));
    }
    warp->barrier_result[kPopc] = barrier.count;
    warp->barrier_result[kAnd] = barrier.all ? ~0u : 0;
    warp->barrier_result[kOr] = barrier.any ? ~0u : 0;
  }
  barrier = Barrier{};
}

static void octavo_barrier_sync(Warp* warp, const std::uint32_t* id, const std::uint32_t* count) {
  const std::uint32_t number = same(*warp, id, "barrier");
  arrive(*warp, number, same(*warp, count, "thread count"));
  wait(*warp, number);
}

static void octavo_barrier_arrive(Warp* warp, const std::uint32_t* id, const std::uint32_t* count) {
  const std::uint32_t number = same(*warp, id, "barrier");
  arrive(*warp, number, same(*warp, count, "thread count"));
  try_complete(*warp->block, number);
}

static std::uint32_t octavo_barrier_reduce(Warp* warp, const std::uint32_t* id,
                                           const std::uint32_t* count, std::uint32_t predicate,
                                           std::uint32_t reduction) {
  const std::uint32_t number = same(*warp, id, "barrier");
  Barrier& barrier = arrive(*warp, number, same(*warp, count, "thread count"));
  barrier.count += static_cast<std::uint32_t>(__builtin_popcount(predicate & warp->mask));
  barrier.all &= (predicate & warp->mask) == warp->mask;
  barrier.any |= (predicate & warp->mask) != 0;
  wait(*warp, number);
  return warp->barrier_result[reduction];
}

std::span<const Helper> barrier_helpers() {
  static const Helper list[] = {OCTAVO_HELPER(octavo_barrier_sync),
                                OCTAVO_HELPER(octavo_barrier_arrive),
                                OCTAVO_HELPER(octavo_barrier_reduce)};
  return list;
}

}  // namespace octavo::emulator
