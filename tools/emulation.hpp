// A kernel of any PTX or CUDA file on the emulator.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/device.hpp"
#include "tools/kernel_argument.hpp"

namespace octavo {

struct Emulation {
  std::string file;                   // .ptx, or .cu, which NVRTC compiles
  std::string entry;                  // the kernel, by its name in the PTX or in C++
  std::vector<unsigned> grid, block;  // of three dimensions each
  unsigned shared_bytes = 0;          // dynamic
  unsigned cluster = 0;               // blocks along x; 0: as the kernel says
  std::vector<KernelArgument> arguments;
};

struct Outcome {
  std::string kernel;  // its name in the PTX
  double compile_ms = 0, load_ms = 0, launch_ms = 0;
  std::uint64_t warp_instructions = 0;
  std::string fault;  // the line that says what the kernel did wrong and where; "" if nothing
};

// Runs it, and reads the buffers back into `arguments` if there was no fault. Throws UsageError for
// a file, kernel, shape or arguments that do not fit each other, EnvironmentError for what NVRTC or
// the emulator lacks.
Outcome run_kernel(const Device& device, Emulation& emulation);

}  // namespace octavo
