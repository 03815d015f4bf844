// The blocks that are resident together and share a host thread: those of a cluster, or one block.
#pragma once

#include "execute/async.hpp"
#include "execute/block.hpp"
#include "execute/shadow.hpp"

namespace octavo::emulator {

struct Cluster {
  Launch* launch = nullptr;
  std::uint64_t number = 0;   // in the grid, x fastest
  std::uint64_t turn = 0;     // in which it was taken in
  std::vector<Block> blocks;  // by rank; they stay where they are
  std::vector<Warp*> warps;   // of all blocks
  std::uint32_t live_warps = 0;
  std::uint32_t barrier_phase = 0;     // of barrier.cluster
  std::uint32_t arrived_warps = 0;     // in this phase
  Clock arrived_clock, barrier_clock;  // of these, and of those of the phase before
  Clock exited;                        // of warps that barriers do not wait for any more
  std::optional<Fault> fault;          // the first of its warps', which ends the cluster
  Random schedule{};                   // draws the order of its warps
  AsyncQueue* async = nullptr;         // these two are there if the kernel is asynchronous
  Shadow* shadow = nullptr;
  DefinedBytes* defined = nullptr;  // of the blocks' shared memory
  int idle_rounds = 0;              // since a warp has done more than to poll

  // By its number in the cluster, block by block.
  const Warp& warp(std::size_t number_in_cluster) const {
    const std::size_t warps_of_block = blocks[0].warps.size();
    return *blocks[number_in_cluster / warps_of_block].warps[number_in_cluster % warps_of_block];
  }
};

// Of the block in whose shared memory the byte lies.
inline std::size_t rank_of(const Cluster& cluster, const std::byte* at) {
  return static_cast<std::size_t>(at - cluster.blocks[0].shared) / kSharedWindow;
}

inline std::size_t cluster_warp(const Warp& warp) {
  return std::size_t{warp.block->rank} * warp.nwarpid + warp.warpid;
}

// Gives every ready warp a turn. True if one did more than to poll, or work that is pending was
// done, or it faulted; that no warp can ever run again is a fault.
bool run_round(Cluster& cluster);

// The warp has no lanes left.
void finish(Warp& warp);

// --- barriers.cpp

// Every live lane of the warp is held at a barrier: it arrives.
void arrive_held(Warp& warp);

// The warp is done: barriers need not wait for it any more.
void leave_barriers(Warp& warp);

// "barrier 1 (32 of 64 threads arrived", as far as the warp waits there.
std::string describe_wait(const Warp& warp);

// What is wrong with the whole cluster, and where its warps are.
Fault cluster_fault(const Cluster& cluster, const char* what);

}  // namespace octavo::emulator
