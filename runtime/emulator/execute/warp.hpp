// A warp as compiled kernels and the functions they call see it.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "execute/fiber.hpp"
#include "execute/program.hpp"
#include "execute/undefined.hpp"

namespace octavo::emulator {

constexpr int kLanes = 32;
constexpr std::uint32_t kAllLanes = 0xFFFFFFFFu;
// A lane that has exited waits for this block, which does not exist.
constexpr std::uint32_t kExited = 0xFFFFFFFFu;

// Below each frame of a thread's stack: the stack_end to go back to.
constexpr std::uint32_t kFrameHeader = 16;
// Of a thread, in kernels with recursion, calls by address or alloca.
constexpr std::uint32_t kThreadStackBytes = 16384;

struct Block;
struct MbarrierWait;
class Shadow;
struct WarpWgmmas;

// Of 32-bit shared addresses: a block's own count from its rank times this, so that those of a
// cluster's blocks differ and each may use the others'.
constexpr std::uint32_t kSharedWindow = 1u << 18;

enum class WarpState : std::uint8_t { ready, waiting, done };
enum class Waits : std::uint8_t { barrier, cluster_barrier, registers };  // for what, if waiting

// bar, barrier and barrier.cluster, as compiled kernels name them.
enum class BarrierOperation : std::uint32_t {
  sync,
  arrive,
  reduce,
  cluster_arrive,
  cluster_arrive_relaxed,
  cluster_wait,
};

// Lanes at a barrier, where the warp arrives once all its lanes are there.
struct AtBarrier {
  std::uint32_t lanes;
  BarrierOperation operation;
  std::uint32_t id, threads;
  std::uint32_t predicate;  // of the lanes, for reduce
  std::int32_t line;

  bool same_place(const AtBarrier& other) const {
    return operation == other.operation && id == other.id && threads == other.threads;
  }
};

struct alignas(64) Warp {
  // Compiled kernels know what follows by its offsets.
  std::uint32_t mask_lanes[kLanes];  // ~0 for the lanes that run, 0 for the others
  std::uint32_t next[kLanes];        // the basic block that each lane waits for
  std::uint32_t tid[3][kLanes];
  // Of each lane's stack, in its local memory: where the running function's frame begins, and where
  // what alloca gave out does, which grows down.
  std::uint32_t stack[kLanes], stack_end[kLanes];
  std::uint32_t mask;   // the lanes that run
  std::uint32_t live;   // the lanes that have not exited
  std::int32_t budget;  // back-edges left before the warp yields
  std::int32_t line;    // PTX line of the instruction under way
  std::uint32_t ctaid[3], ntid[3], nctaid[3];
  std::uint32_t cluster_ctaid[3], cluster_nctaid[3], clusterid[3], nclusterid[3];
  std::uint32_t cluster_ctarank, cluster_nctarank, is_explicit_cluster;
  std::uint32_t grid_workspace[2];  // high and low half of its address: %envreg1 and 2
  std::uint32_t warpid, nwarpid, smid, nsmid;
  std::uint32_t dynamic_shared_bytes, total_shared_bytes;
  std::uint32_t shared_begin;       // the block's own first shared address
  std::uint32_t barrier_result[3];  // of barrier.red: popc, and, or
  std::uint64_t gridid;
  std::uint64_t instructions;  // that it has issued, whichever lanes took part
  const std::byte* parameters;
  const std::uint64_t* symbols;  // addresses of the module's variables, by number
  std::byte* shared;             // where shared address 0 is, of the cluster's block 0

  // The rest is for C++ alone.
  std::uint32_t parked;      // lanes held at a warp-synchronous instruction for others to arrive
  std::uint32_t last_block;  // that dispatch chose
  std::uint32_t stuck;       // dispatches since lanes were first found all parked
  WarpState state;
  bool polled;         // since the last yield, it has read what another thread may write
  bool polled_memory;  // and it was memory, not an mbarrier
  bool advanced;       // since the last yield, it has written something
  std::byte* frame;
  std::byte* local;
  std::uint32_t local_bytes;  // of a lane
  std::uint32_t parameter_bytes;
  Block* block;
  Memory::Range ranges[4];  // the allocations last accessed, good in `generation`
  std::uint64_t generation;
  std::uint32_t next_range;  // to be replaced
  AtBarrier held;            // lanes that wait for the others of their warp
  Waits waits;
  std::uint32_t barrier;                      // that it waits for
  bool cluster_arrived;                       // and has not waited since
  std::uint32_t cluster_phase;                // in which it arrived
  std::uint32_t registers;                    // of a thread, if setmaxnreg may change them
  std::uint32_t committed_groups[4][kLanes];  // by Group, of each lane
  WarpWgmmas* wgmmas;
  const MbarrierWait* mbarrier_wait;  // while it waits in one
  Shadow* shadow;                     // of kernels with asynchronous instructions
  DefinedBytes* shared_defined;       // of the cluster
  DefinedBytes* local_defined;
  std::vector<UndefinedLoad>* undefined_loads;
  Fiber fiber;
};

// What a compiled kernel is: runs the warp from its first instruction until its last lane exits.
using KernelFunction = void (*)(Warp* warp, std::byte* frame);

// --- For the functions that kernels call. None of them lets an exception out: it would have to
// --- cross compiled frames.

// Gives the other warps a turn; returns when this one is resumed.
void yield(Warp& warp);

// Ends the launch with this fault at the warp's current line, and never returns.
[[noreturn]] void fault(Warp& warp, CUresult code, int lane, const char* format, ...)
    __attribute__((format(printf, 4, 5)));

// Notes a fault of the lane at the warp's current line; the first of a cluster counts.
void report(Warp& warp, CUresult code, int lane, const std::string& what);

// Ends the launch with what `message` returns. It is called here because nothing is unwound from
// here: what the caller still held would never be freed.
template <std::invocable Message>
[[noreturn]] void fault(Warp& warp, int lane, const Message& message,
                        CUresult code = CUDA_ERROR_LAUNCH_FAILED) {
  report(warp, code, lane, message());
  for (;;) yield(warp);
}

template <typename F>
void for_lanes(std::uint32_t mask, F&& body) {
  for (; mask != 0; mask &= mask - 1) body(__builtin_ctz(mask));
}

// A function that compiled kernels call by name.
struct Helper {
  const char* name;
  void* function;
};
#define OCTAVO_HELPER(name) \
  ::octavo::emulator::Helper { #name, reinterpret_cast<void*>(&name) }

// Every function that compiled kernels may call, one list a file.
std::vector<Helper> all_helpers();

}  // namespace octavo::emulator
