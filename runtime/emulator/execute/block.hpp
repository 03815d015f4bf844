// A block of threads and the launch it belongs to.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "execute/clock.hpp"
#include "execute/order.hpp"
#include "execute/warp.hpp"
#include "execute/warpgroup.hpp"
#include "execute/wgmma.hpp"
#include "fault.hpp"

namespace octavo::emulator {

// What a launch needs to know of its kernel beyond KernelInfo.
struct KernelCode {
  KernelFunction function = nullptr;
  std::uint32_t frame_bytes = 0;     // of a warp
  std::uint32_t dynamic_offset = 0;  // where dynamic shared memory begins
  bool asynchronous = false;         // it needs a Shadow
  std::uint32_t stack_bytes = 0;     // of a thread
};

constexpr std::uint64_t kNoFault = ~std::uint64_t{0};

struct Launch {
  const KernelInfo* info;
  KernelCode code;
  LaunchShape shape;
  const std::byte* parameters;
  const std::uint64_t* symbols;
  std::span<const Memory::Range> constants;
  Memory* memory;
  const DeviceModel* device;
  Order order;
  std::uint64_t grid_workspace;  // of a cooperative launch, else 0
  std::uint32_t registers;       // that each thread begins with, 0 if the kernel does not say
  std::string_view ptx;          // whose lines faults quote
  // Where the undefined value that a line uses came from, in words; `loads` are the lines that read
  // undefined memory for the lane, the latest last.
  std::function<std::string(int line, const std::vector<int>& loads)> undefined_origin;
  std::uint64_t id;
  std::uint64_t first_cluster = 0, stride = 1;  // of an affine permutation of the clusters

  std::uint64_t blocks() const { return count(shape.grid); }
  std::uint64_t clusters() const { return blocks() / count(shape.cluster); }
  // The cluster that is taken in at this turn: the turns' order is the schedule's.
  std::uint64_t cluster_at(std::uint64_t turn) const {
    return (first_cluster + turn * stride) % clusters();
  }
  Dim3 grid_of_clusters() const {
    return {shape.grid.x / shape.cluster.x, shape.grid.y / shape.cluster.y,
            shape.grid.z / shape.cluster.z};
  }
  std::uint32_t threads() const { return shape.block.x * shape.block.y * shape.block.z; }
  std::uint32_t local_bytes() const { return info->local_bytes + code.stack_bytes; }
  std::uint32_t shared_bytes() const { return code.dynamic_offset + shape.dynamic_shared_bytes; }
  std::uint32_t first_shared_address() const { return device->first_shared_address(); }

  // --- shared by the host threads that run it
  std::atomic<std::uint64_t> next_turn{0};           // clusters that have been taken in
  std::atomic<bool> predecessor_ended{true};         // what griddepcontrol.wait waits for
  std::atomic<std::uint64_t> blocks_that_let_go{0};  // that let dependents begin, or have ended
  std::atomic<std::uint64_t> first_fault{kNoFault};  // the lowest turn that has faulted
  std::atomic<std::int64_t> last_progress{0};        // steady-clock nanoseconds
  std::atomic<std::uint64_t> warp_instructions{0};   // of the clusters that are done
  std::int64_t deadline = 0;
  std::mutex fault_mutex;
  std::optional<Fault> fault;  // of turn first_fault

  void record(std::uint64_t turn, const Fault& what);

  // What printf wrote, by block: it goes to stdout when the grid is done, in order of the blocks.
  std::mutex print_mutex;
  std::map<std::uint64_t, std::string> printed;
  void print(const Block& block, std::string_view text);
};

struct Barrier {
  std::uint32_t expected = 0;  // threads that complete it; 0: every warp that has not exited
  std::uint32_t warps = 0;     // arrived so far, a bit each
  bool reduces = false;
  std::uint32_t count = 0, all = 1, any = 0;  // of barrier.red's predicates
  Clock clock;                                // of those that have arrived
};

constexpr int kBarriers = 16;

struct Cluster;

struct Block {
  Launch* launch;
  Cluster* cluster;
  std::uint32_t rank;      // in the cluster, x fastest
  std::uint32_t index[3];  // in the grid
  std::byte* shared;       // its own shared memory
  std::vector<Warp*> warps;
  std::uint32_t live_warps = 0;
  bool started = false;  // a warp of it has run
  bool let_go = false;   // counted in the launch's
  Barrier barriers[kBarriers];
  std::uint32_t free_registers = 0;   // of each of a warp's lanes: what setmaxnreg.dec gave back
  std::vector<Warpgroup> warpgroups;  // of kernels with wgmma

  // What its shared addresses count from.
  std::byte* window() const { return shared - launch->first_shared_address(); }
};

// The block lets dependents begin, as far as it is concerned.
inline void let_go(Block& block) {
  if (!std::exchange(block.let_go, true)) ++block.launch->blocks_that_let_go;
}

// The line of PTX with this number, without its indentation and comment.
std::string_view ptx_line(std::string_view ptx, int line);

}  // namespace octavo::emulator
