#include "execute/mbarrier.hpp"

#include <fmt/core.h>

#include <cstring>
#include <utility>

#include "execute/access.hpp"
#include "execute/cluster.hpp"
#include "execute/helpers.hpp"
#include "execute/shadow.hpp"

namespace octavo::emulator {
namespace {

constexpr std::int32_t kTxBias = 1 << 20;

MbarrierState load(const std::byte* mbarrier) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, mbarrier, sizeof bits);
  return MbarrierState::decode(bits);
}

void store(std::byte* mbarrier, const MbarrierState& state) {
  const std::uint64_t bits = state.encode();
  std::memcpy(mbarrier, &bits, sizeof bits);
}

// Stores the state, on to the next phase if this one is complete.
void update(Cluster& cluster, std::byte* mbarrier, MbarrierState state) {
  if (state.pending == 0 && state.tx_count == 0) {
    state.phase = (state.phase + 1) % kPhases;
    state.pending = state.expected;
    Mbarrier& known = *cluster.shadow->find_mbarrier(mbarrier);
    known.completed.join(known.arrived);
    known.arrived.clear();
  }
  store(mbarrier, state);
}

std::string check(const Cluster& cluster, const std::byte* mbarrier) {
  if (cluster.shadow->find_mbarrier(mbarrier) != nullptr) return {};
  return fmt::format("no mbarrier is initialised at {}", cluster.shadow->name(mbarrier));
}

std::string change_tx(Cluster& cluster, std::byte* mbarrier, std::int64_t by) {
  if (std::string problem = check(cluster, mbarrier); !problem.empty()) return problem;
  MbarrierState state = load(mbarrier);
  const std::int64_t count = state.tx_count + by;
  if (count > kMostTransactions || count < -kMostTransactions) {
    return fmt::format("the tx-count would be {}, beyond 2^20 - 1: {}", count,
                       describe(cluster, mbarrier));
  }
  state.tx_count = static_cast<std::int32_t>(count);
  update(cluster, mbarrier, state);
  return {};
}

}  // namespace

MbarrierState MbarrierState::decode(std::uint64_t bits) {
  return {static_cast<std::uint32_t>(bits & kMostArrivals),
          static_cast<std::uint32_t>(bits >> 20 & kMostArrivals),
          static_cast<std::int32_t>(bits >> 40 & 0x1FFFFF) - kTxBias,
          static_cast<std::uint32_t>(bits >> 61)};
}

std::uint64_t MbarrierState::encode() const {
  return expected | std::uint64_t{pending} << 20 |
         static_cast<std::uint64_t>(tx_count + kTxBias) << 40 | std::uint64_t{phase} << 61;
}

bool MbarrierWait::waits_for(const std::byte* object) const {
  bool found = false;
  for_lanes(lanes, [&](int lane) { found = found || mbarrier[lane] == object; });
  return found;
}

bool MbarrierWait::over() const {
  bool found = false;
  for_lanes(lanes, [&](int lane) { found = found || load(mbarrier[lane]).phase != phase[lane]; });
  return found;
}

std::string arrive(Cluster& cluster, std::byte* mbarrier, std::uint32_t count, bool drop) {
  if (std::string problem = check(cluster, mbarrier); !problem.empty()) return problem;
  MbarrierState state = load(mbarrier);
  if (count == 0 || count > state.pending || (drop && count > state.expected)) {
    return fmt::format("{} arrivals at {}", count, describe(cluster, mbarrier));
  }
  state.pending -= count;
  if (drop) state.expected -= count;
  update(cluster, mbarrier, state);
  return {};
}

std::string expect_tx(Cluster& cluster, std::byte* mbarrier, std::uint32_t bytes) {
  return change_tx(cluster, mbarrier, std::int64_t{bytes});
}

std::string complete_tx(Cluster& cluster, std::byte* mbarrier, std::uint32_t bytes) {
  return change_tx(cluster, mbarrier, -std::int64_t{bytes});
}

std::string expect_arrival(Cluster& cluster, std::byte* mbarrier) {
  if (std::string problem = check(cluster, mbarrier); !problem.empty()) return problem;
  MbarrierState state = load(mbarrier);
  if (state.pending == kMostArrivals) {
    return "more than 2^20 - 1 pending arrivals: " + describe(cluster, mbarrier);
  }
  ++state.pending;
  store(mbarrier, state);
  return {};
}

std::string describe(const Cluster& cluster, const std::byte* mbarrier) {
  const MbarrierState state = load(mbarrier);
  return fmt::format("mbarrier at {}: phase {}, {} of {} arrivals pending, tx-count {}",
                     cluster.shadow->name(mbarrier), state.phase, state.pending, state.expected,
                     state.tx_count);
}

// --- instructions

namespace {

// The mbarriers that the lanes of an instruction name.
struct Named {
  Warp& warp;
  SharedWindow window;
  const std::uint64_t* address;
  std::uint64_t offset;

  Cluster& cluster() const { return *warp.block->cluster; }
  Shadow& shadow() const { return *warp.shadow; }

  std::byte* at(int lane) const {
    return resolve_window(warp, lane, address[lane] + offset, 8, 8, window);
  }
  // One whose state the warp may see: of its own block.
  std::byte* own(int lane) const {
    std::byte* found = at(lane);
    const std::byte* begin = warp.block->shared;
    if (found < begin || found >= begin + warp.total_shared_bytes) {
      stop(lane, shadow().name(found) + " is not of this block");
    }
    return found;
  }
  std::byte* initialised(int lane) const {
    std::byte* found = own(lane);
    if (shadow().find_mbarrier(found) == nullptr) stop(lane, check(cluster(), found));
    return found;
  }
  void stop(int lane, std::string&& problem) const {
    if (!problem.empty()) fault(warp, lane, [&] { return std::move(problem); });
  }
};

void arrive_lane(const Named& named, int lane, std::uint32_t count, std::uint32_t flags,
                 const std::uint32_t* bytes, std::uint64_t* state) {
  std::byte* mbarrier = named.at(lane);
  Mbarrier* known = named.shadow().find_mbarrier(mbarrier);
  if (known == nullptr) named.stop(lane, check(named.cluster(), mbarrier));
  if (state != nullptr) std::memcpy(&state[lane], named.own(lane), sizeof *state);
  if (bytes != nullptr) named.stop(lane, expect_tx(named.cluster(), mbarrier, bytes[lane]));
  const std::uint32_t phase = load(mbarrier).phase;
  Clocks& clocks = named.shadow().clocks;
  if ((flags & kRelaxed) == 0) {
    clocks.release(cluster_warp(named.warp), known->arrived);
  } else {
    clocks.release_relaxed(cluster_warp(named.warp), known->arrived);
  }
  named.stop(lane, arrive(named.cluster(), mbarrier, count, (flags & kDrop) != 0));
  if ((flags & kNoComplete) != 0 && load(mbarrier).phase != phase) {
    named.stop(lane, "noComplete completes the phase of " + describe(named.cluster(), mbarrier));
  }
}

}  // namespace

static void octavo_mbarrier_init(Warp* warp, std::uint32_t mask, std::uint32_t window,
                                 const std::uint64_t* address, std::uint64_t offset,
                                 const std::uint32_t* count) {
  const Named named{*warp, SharedWindow{window}, address, offset};
  for_lanes(mask, [&](int lane) {
    std::byte* mbarrier = named.own(lane);
    warp->shadow->store(*warp, lane, mbarrier, 8);
    if (count[lane] == 0 || count[lane] > kMostArrivals) {
      fault(*warp, CUDA_ERROR_ILLEGAL_INSTRUCTION, lane,
            "a count of %u; there can be 1 to 2^20 - 1", count[lane]);
    }
    store(mbarrier, {count[lane], count[lane], 0, 0});
    set_defined(*warp, mbarrier, 8);
    warp->shadow->add_mbarrier(site_of(*warp, lane), mbarrier);
    warp->advanced = true;
  });
}

static void octavo_mbarrier_inval(Warp* warp, std::uint32_t mask, std::uint32_t window,
                                  const std::uint64_t* address, std::uint64_t offset) {
  const Named named{*warp, SharedWindow{window}, address, offset};
  for_lanes(mask, [&](int lane) {
    std::byte* mbarrier = named.initialised(lane);
    if (load(mbarrier).tx_count != 0)
      named.stop(lane, "in use: " + describe(named.cluster(), mbarrier));
    warp->shadow->remove_mbarrier(mbarrier);
    std::memset(mbarrier, 0xFF, 8);
    set_defined(*warp, mbarrier, 8, false);
    warp->advanced = true;
  });
}

static void octavo_mbarrier_expect_tx(Warp* warp, std::uint32_t mask, std::uint32_t window,
                                      const std::uint64_t* address, std::uint64_t offset,
                                      const std::uint32_t* bytes) {
  const Named named{*warp, SharedWindow{window}, address, offset};
  for_lanes(mask, [&](int lane) {
    named.stop(lane, expect_tx(named.cluster(), named.at(lane), bytes[lane]));
    warp->advanced = true;
  });
}

static void octavo_mbarrier_complete_tx(Warp* warp, std::uint32_t mask, std::uint32_t window,
                                        const std::uint64_t* address, std::uint64_t offset,
                                        const std::uint32_t* bytes) {
  const Named named{*warp, SharedWindow{window}, address, offset};
  for_lanes(mask, [&](int lane) {
    named.stop(lane, complete_tx(named.cluster(), named.at(lane), bytes[lane]));
    warp->advanced = true;
  });
}

// count, bytes and state may be null: one arrival, no transactions, no result.
static void octavo_mbarrier_arrive(Warp* warp, std::uint32_t mask, std::uint32_t window,
                                   const std::uint64_t* address, std::uint64_t offset,
                                   const std::uint32_t* count, const std::uint32_t* bytes,
                                   std::uint64_t* state, std::uint32_t flags) {
  const Named named{*warp, SharedWindow{window}, address, offset};
  for_lanes(mask, [&](int lane) {
    arrive_lane(named, lane, count == nullptr ? 1 : count[lane], flags, bytes, state);
    warp->advanced = true;
  });
}

// The phase is that of a state, or the parity of one. A warp none of whose lanes finds its phase
// complete waits for a turn of the others.
static void octavo_mbarrier_wait(Warp* warp, std::uint32_t mask, std::uint32_t window,
                                 const std::uint64_t* address, std::uint64_t offset,
                                 const std::uint64_t* state, const std::uint32_t* parity,
                                 std::uint32_t relaxed, std::uint32_t* complete) {
  if (mask == 0) return;
  const Named named{*warp, SharedWindow{window}, address, offset};
  MbarrierWait wait{mask, {}, {}};
  const auto ask = [&] {
    std::uint32_t done = 0;
    for_lanes(mask, [&](int lane) {
      const std::uint32_t current = load(wait.mbarrier[lane]).phase;
      const bool passed = parity != nullptr ? (current & 1) != parity[lane]
                                            : current != MbarrierState::decode(state[lane]).phase;
      complete[lane] = passed ? ~0u : 0;
      if (passed) done |= 1u << lane;
    });
    return done;
  };
  for_lanes(mask, [&](int lane) {
    wait.mbarrier[lane] = named.initialised(lane);
    wait.phase[lane] = load(wait.mbarrier[lane]).phase;
    if (parity != nullptr && parity[lane] > 1) {
      fault(*warp, CUDA_ERROR_ILLEGAL_INSTRUCTION, lane, "a parity of %u", parity[lane]);
    }
  });
  std::uint32_t done = ask();
  if (done == 0) {
    warp->mbarrier_wait = &wait;
    warp->polled = true;
    yield(*warp);
    warp->mbarrier_wait = nullptr;
    warp->polled = true;
    for_lanes(mask, [&](int lane) { named.initialised(lane); });
    done = ask();
  }
  Clocks& clocks = warp->shadow->clocks;
  for_lanes(done, [&](int lane) {
    const Clock& completed = warp->shadow->find_mbarrier(wait.mbarrier[lane])->completed;
    if (relaxed == 0) {
      clocks.acquire(cluster_warp(*warp), completed);
    } else {
      clocks.acquire_relaxed(cluster_warp(*warp), completed);
    }
  });
}

static void octavo_mbarrier_pending_count(std::uint32_t* count, const std::uint64_t* state) {
  for (int lane = 0; lane < kLanes; ++lane) {
    count[lane] = MbarrierState::decode(state[lane]).pending;
  }
}

std::span<const Helper> mbarrier_helpers() {
  static const Helper list[] = {
      OCTAVO_HELPER(octavo_mbarrier_init),         OCTAVO_HELPER(octavo_mbarrier_inval),
      OCTAVO_HELPER(octavo_mbarrier_expect_tx),    OCTAVO_HELPER(octavo_mbarrier_complete_tx),
      OCTAVO_HELPER(octavo_mbarrier_arrive),       OCTAVO_HELPER(octavo_mbarrier_wait),
      OCTAVO_HELPER(octavo_mbarrier_pending_count)};
  return list;
}

}  // namespace octavo::emulator
