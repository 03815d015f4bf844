// A context: the memory, modules, streams and events of the emulated device, and its first fault.
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "cuda_abi_more.h"
#include "device_model.hpp"
#include "driver/registry.hpp"
#include "execute/program.hpp"
#include "memory/memory.hpp"

namespace octavo::emulator::driver {

// Work runs when it is enqueued, but for launches that another one may overlap (Context::held), so
// a stream keeps nothing but what it was made with.
struct Stream {
  unsigned flags = 0;
  int priority = 0;
};

struct Event {
  bool timed = true;
  std::mutex mutex;
  std::optional<std::chrono::steady_clock::time_point> recorded;
};

struct Module {
  std::unique_ptr<Program> program;
  int ptx_version = 0;  // of its .target: 90
  std::mutex mutex;
  std::map<std::string, CUfunction, std::less<>> functions;  // handles given out
};

struct Function {
  std::shared_ptr<Module> module;
  CUmodule module_handle = nullptr;
  const KernelInfo* info = nullptr;
  std::atomic<int> most_dynamic_shared = 0;  // bytes
  // What cuFuncSetAttribute says. A width of 0 requires no cluster.
  std::atomic<int> cluster_width = 0, cluster_height = 0, cluster_depth = 0;
  std::atomic<int> non_portable_cluster = 0, cluster_scheduling = 0, shared_carveout = -1;
};

struct Library {
  CUmodule module = nullptr;
  std::mutex mutex;
  std::map<std::string, CUkernel, std::less<>> kernels;  // handles given out
};

struct LibraryKernel {
  CUfunction function = nullptr;
};

// The default stream's three names: null, CU_STREAM_LEGACY, CU_STREAM_PER_THREAD.
constexpr std::uintptr_t kLastDefault = 2;

// Of streams; nothing here depends on it.
constexpr int kLeastPriority = 0, kGreatestPriority = -5;

// A launch that lets the next one of its stream begin early: it runs, or ends, when it is known
// what comes next.
struct HeldLaunch {
  std::shared_ptr<Function> function;  // outlives the run
  std::unique_ptr<GridRun> run;
  CUstream stream = nullptr;
};

class Context {
 public:
  explicit Context(const DeviceModel& device) : model(device), memory(device.memory_bytes) {}

  // Throws what an earlier launch failed with: as on a GPU, nothing works in a context after that.
  void check() const;
  void fail_for_good(const Fault& fault);

  // Runs the grid to its end, and returns the warp instructions that it took. A fault of the
  // device's is the context's, too. The caller holds `running`, as for end_held.
  std::uint64_t finish(GridRun& run);
  void hold(HeldLaunch launch);
  void end_held();  // all that are held, in their order

  // end_held() for a caller that does not hold `running`, and does not wait for it without need.
  void settle();

  // Throws unless it is the default stream or a live one.
  void check_stream(CUstream stream) const;

  const DeviceModel& model;
  Memory memory;       // outlives the programs below
  std::mutex running;  // held while device work runs or memory is freed: one thing at a time
  std::deque<HeldLaunch> held;      // under `running`: of one stream, the later of which have begun
  std::atomic<bool> holds = false;  // whether there are any
  Registry<CUmodule, Module> modules;
  Registry<CUfunction, Function> functions;
  Registry<CUstream, Stream> streams;
  Registry<CUevent, Event> events;
  Registry<CUlibrary, Library> libraries;
  Registry<CUkernel, LibraryKernel> kernels;

  // Pinned host memory lies beside device memory, in `memory`: kernels may use it too.
  std::uint64_t allocate_host(std::size_t bytes);
  void release_host(std::uint64_t address);  // throws Fault for what allocate_host did not give
  bool is_host(std::uint64_t address) const;

 private:
  mutable std::mutex mutex_;  // of what follows
  std::optional<Fault> fault_;
  std::set<std::uint64_t> host_;  // where pinned allocations begin
};

}  // namespace octavo::emulator::driver
