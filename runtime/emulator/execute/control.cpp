// Which lanes of a warp run next, and where.
#include <algorithm>

#include "execute/cluster.hpp"
#include "execute/helpers.hpp"

namespace octavo::emulator {
namespace {

// The lowest block after `after` that a lane of `candidates` waits for; wraps around.
std::uint32_t next_block(const Warp& warp, std::uint32_t candidates, std::uint32_t after) {
  std::uint32_t lowest = kExited, following = kExited;
  for_lanes(candidates, [&](int lane) {
    const std::uint32_t block = warp.next[lane];
    lowest = std::min(lowest, block);
    if (block > after) following = std::min(following, block);
  });
  return following != kExited ? following : lowest;
}

void run_at(Warp& warp, std::uint32_t block) {
  std::uint32_t mask = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    const bool here = warp.next[lane] == block && (warp.held.lanes >> lane & 1) == 0;
    warp.mask_lanes[lane] = here ? ~0u : 0;
    mask |= static_cast<std::uint32_t>(here) << lane;
  }
  warp.mask = mask;
  warp.parked &= ~mask;
  warp.last_block = block;
}

}  // namespace

// Lanes wait at different blocks: chooses the one to run and sets the mask to the lanes at it. The
// lowest, so that lanes meet again; but each in turn when the budget of back-edges is spent, so
// that lanes that wait in a loop for others of their warp let them through.
static std::uint32_t octavo_dispatch(Warp* warp) {
  const bool spent = --warp->budget < 0;
  if (spent) yield(*warp);
  if (warp->held.lanes == warp->live) arrive_held(*warp);
  const std::uint32_t free = warp->live & ~warp->held.lanes;  // not at a barrier
  const std::uint32_t running = free & ~warp->parked;
  if (spent) {
    const std::uint32_t block = next_block(*warp, running != 0 ? running : free, warp->last_block);
    run_at(*warp, block);
    return block;
  }
  if (running != 0) {
    std::uint32_t lowest = kExited;
    for_lanes(running, [&](int lane) { lowest = std::min(lowest, warp->next[lane]); });
    run_at(*warp, lowest);
    return lowest;
  }
  // Every lane waits at a warp-synchronous instruction or a barrier. Try each of these places
  // again; when all have been and none lets its lanes go, none ever will.
  if (++warp->stuck > kLanes + 1) {
    fault(*warp, CUDA_ERROR_LAUNCH_FAILED, __builtin_ctz(warp->live),
          "the lanes of the warp wait for each other at different warp-synchronous instructions");
  }
  const std::uint32_t block = next_block(*warp, free, warp->last_block);
  run_at(*warp, block);
  return block;
}

// The running lanes' member masks, at a warp-synchronous instruction that not all live lanes have
// reached: 1 if all members have, else 0, and the lanes are held in `block` until they do.
static std::uint32_t octavo_gather(Warp* warp, const std::uint32_t* members, std::uint32_t block) {
  std::uint32_t all = 0;
  for_lanes(warp->mask, [&](int lane) { all |= members[lane]; });
  if ((all & warp->live & ~warp->mask) == 0) {
    warp->stuck = 0;
    return 1;
  }
  for_lanes(warp->mask, [&](int lane) { warp->next[lane] = block; });
  warp->parked |= warp->mask;
  return 0;
}

static void octavo_budget(Warp* warp) { yield(*warp); }

// The lanes that run exit. 1 if others are left.
static std::uint32_t octavo_exit(Warp* warp, std::uint32_t mask) {
  warp->live &= ~mask;
  for_lanes(mask, [&](int lane) { warp->next[lane] = kExited; });
  return warp->live != 0;
}

static void octavo_branch_table(Warp* warp, const std::uint32_t* index,
                                const std::uint32_t* targets, std::uint32_t count) {
  for_lanes(warp->mask, [&](int lane) {
    if (index[lane] >= count) {
      fault(*warp, CUDA_ERROR_ILLEGAL_INSTRUCTION, lane, "index %u into %u branch targets",
            index[lane], count);
    }
    warp->next[lane] = targets[index[lane]];
  });
}

static void octavo_trap(Warp* warp, std::uint32_t mask) {
  if (mask != 0) fault(*warp, CUDA_ERROR_LAUNCH_FAILED, __builtin_ctz(mask), "trap");
}

static void octavo_nanosleep(Warp* warp) {
  warp->polled = true;
  yield(*warp);
}

static void octavo_let_dependents_begin(Warp* warp) { let_go(*warp->block); }

// Until the grid before has ended, whatever it writes.
static void octavo_wait_for_grid(Warp* warp) {
  while (!warp->block->launch->predecessor_ended.load()) {
    warp->polled = warp->polled_memory = true;
    yield(*warp);
  }
}

static std::uint64_t octavo_globaltimer() {
  return static_cast<std::uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
}

std::span<const Helper> control_helpers() {
  static const Helper list[] = {
      OCTAVO_HELPER(octavo_dispatch),      OCTAVO_HELPER(octavo_gather),
      OCTAVO_HELPER(octavo_budget),        OCTAVO_HELPER(octavo_exit),
      OCTAVO_HELPER(octavo_trap),          OCTAVO_HELPER(octavo_branch_table),
      OCTAVO_HELPER(octavo_nanosleep),     OCTAVO_HELPER(octavo_globaltimer),
      OCTAVO_HELPER(octavo_wait_for_grid), OCTAVO_HELPER(octavo_let_dependents_begin)};
  return list;
}

}  // namespace octavo::emulator
