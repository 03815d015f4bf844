// mbarrier objects. One lives in its eight bytes of shared memory and nowhere else: bits 0-19 the
// arrivals that a phase expects, 20-39 those still pending, 40-60 the tx-count plus 2^20, 61-63 the
// phase. The state that an arrival returns is these bits as they were before it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "execute/warp.hpp"

namespace octavo::emulator {

struct Cluster;

struct MbarrierState {
  std::uint32_t expected = 0, pending = 0;
  std::int32_t tx_count = 0;
  std::uint32_t phase = 0;  // modulo 8

  static MbarrierState decode(std::uint64_t bits);
  std::uint64_t encode() const;
};

constexpr std::uint32_t kMostArrivals = (1u << 20) - 1;
constexpr std::int32_t kMostTransactions = (1 << 20) - 1;
constexpr std::uint32_t kPhases = 8;

// How mbarrier.arrive arrives.
enum ArriveFlags : std::uint32_t { kDrop = 1, kNoComplete = 2, kRelaxed = 4 };

// A warp that asks for phases that are not complete. It lies on the warp's stack while it waits.
struct MbarrierWait {
  std::uint32_t lanes;
  const std::byte* mbarrier[kLanes];
  std::uint32_t phase[kLanes];  // the one that is current

  bool waits_for(const std::byte* object) const;
  bool over() const;  // one of the phases is complete
};

// What operations and instructions do to an mbarrier of the cluster. Each returns what is wrong
// with that, "" if nothing is.
std::string arrive(Cluster& cluster, std::byte* mbarrier, std::uint32_t count, bool drop);
std::string expect_tx(Cluster& cluster, std::byte* mbarrier, std::uint32_t bytes);
std::string complete_tx(Cluster& cluster, std::byte* mbarrier, std::uint32_t bytes);
std::string expect_arrival(Cluster& cluster, std::byte* mbarrier);  // one more, in this phase

// "mbarrier at shared address 0x40: phase 0, 1 of 2 arrivals pending, tx-count 4096".
std::string describe(const Cluster& cluster, const std::byte* mbarrier);

}  // namespace octavo::emulator
