// A loaded module: its kernels compiled for the host, its variables placed in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "device_model.hpp"
#include "memory/memory.hpp"

namespace octavo::emulator {

struct Dim3 {
  std::uint32_t x = 1, y = 1, z = 1;
};
inline std::uint64_t count(const Dim3& size) { return std::uint64_t{size.x} * size.y * size.z; }

struct Parameter {
  std::uint32_t offset, bytes;  // in the parameter buffer
};

struct KernelInfo {
  std::string name;
  std::vector<Parameter> parameters;
  std::uint32_t parameter_bytes = 0;
  std::uint32_t static_shared_bytes = 0;
  std::uint32_t local_bytes = 0;  // of a thread
  std::uint32_t registers = 0;  // 32-bit registers that the PTX declares live at most, at most 255
  std::uint32_t max_threads = 1024;      // of a block
  Dim3 required_block = {0, 0, 0};       // zeros: any
  Dim3 required_cluster = {0, 0, 0};     // zeros: any
  bool explicit_cluster = false;         // a launch must say its cluster
  bool lets_dependents_begin = false;    // it has a griddepcontrol.launch_dependents
  std::uint32_t max_cluster_blocks = 0;  // 0: as the device allows
  // Registers that a thread begins with, where the kernel's bounds tell: what setmaxnreg moves.
  std::uint32_t launch_registers = 0;
};

struct LaunchShape {
  Dim3 grid, block;
  std::uint32_t dynamic_shared_bytes = 0;
  Dim3 cluster = {};              // in blocks; divides the grid
  bool explicit_cluster = false;  // the launch or the kernel says so
  bool cooperative = false;       // blocks may wait for the whole grid
  bool dependent = false;         // it may begin before the grid before it in the stream has ended
};

// A launch whose grid may begin before the grid before it has ended. The program must outlive it.
// Its functions are called one at a time, on any thread.
class GridRun {
 public:
  virtual ~GridRun() = default;

  // Runs what of the grid does not wait for the grid before (griddepcontrol.wait). True if all of
  // its blocks let dependents begin meanwhile, before the grid before has ended.
  virtual bool begin_early() = 0;

  // Runs all of it, or the rest, and returns the warp instructions that it took. The grid before
  // has ended. Throws Fault on the first fault in order of blocks; memory then holds whatever was
  // written until then.
  virtual std::uint64_t finish() = 0;
};

class Program {
 public:
  // Parses, refuses instructions that the emulator does not have, and places the module's
  // variables. Device and memory must outlive the program. Throws Fault.
  static std::unique_ptr<Program> load(std::string_view ptx, const DeviceModel& device,
                                       Memory& memory);
  virtual ~Program() = default;

  // Compiles the kernel, or finds its code on disk from an earlier time (lower/code_cache.hpp).
  // nullptr if the module has no such kernel. The pointer lives as long as the program. Throws
  // Fault for what cannot be compiled. Thread-safe.
  virtual const KernelInfo* find_kernel(std::string_view name) const = 0;

  struct Global {
    std::string name;
    std::uint64_t address;
    std::size_t bytes;
  };
  virtual const Global* find_global(std::string_view name) const = 0;

  // A grid to be run. `parameters` has parameter_bytes bytes, which are copied. Uses
  // OCTAVO_EMULATOR_THREADS host threads (all, if unset), and OCTAVO_EMULATOR_TIMEOUT seconds at
  // most (600). Throws Fault for a shape that cannot be. Thread-safe.
  virtual std::unique_ptr<GridRun> prepare(const KernelInfo& kernel, const LaunchShape& shape,
                                           std::span<const std::byte> parameters) = 0;

  // The same, run at once: the warp instructions that it took, or its Fault.
  std::uint64_t launch(const KernelInfo& kernel, const LaunchShape& shape,
                       std::span<const std::byte> parameters) {
    return prepare(kernel, shape, parameters)->finish();
  }
};

}  // namespace octavo::emulator
