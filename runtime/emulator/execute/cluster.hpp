// The blocks that are resident together and share a host thread: those of a cluster, or one block.
#pragma once

#include "execute/block.hpp"

namespace octavo::emulator {

struct Cluster {
  Launch* launch = nullptr;
  std::uint64_t number = 0;   // in the grid, x fastest
  std::uint64_t turn = 0;     // in which it was taken in
  std::vector<Block> blocks;  // by rank; they stay where they are
  std::vector<Warp*> warps;   // of all blocks
  std::uint32_t live_warps = 0;
  std::optional<Fault> fault;  // the first of its warps', which ends the cluster
  Random schedule{};           // draws the order of its warps
};

// Gives every ready warp a turn. True if one did more than to poll, or work that is pending was
// done, or it faulted; that no warp can ever run again is a fault.
bool run_round(Cluster& cluster);

// The warp has no lanes left.
void finish(Warp& warp);

// What is wrong with the whole cluster, and where its warps are.
Fault cluster_fault(const Cluster& cluster, const char* what);

// --- asynchronous work, where the scheduler meets it (async.cpp)

// No warp of the cluster can go on before something pending is done: does one such thing. False if
// nothing is pending.
bool perform_pending(Cluster& cluster);

// A warp has yielded: what is pending may be done, if the launch's order is random.
void perform_at_random(Cluster& cluster);

}  // namespace octavo::emulator
