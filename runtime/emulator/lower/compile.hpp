// A kernel's graph -> host code.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lower/graph.hpp"

namespace octavo::emulator::lower {

// What a compiled kernel says of itself; it lies in the object beside the code.
struct KernelSummary {
  std::uint32_t frame_bytes, local_bytes, static_shared_bytes, dynamic_offset, registers;
  std::uint32_t asynchronous;  // 1 for kernels that need a shadow of shared memory
  std::uint32_t uses_stack;    // 1: threads have a stack, behind their local_bytes
};

// The host's processor and its features: code compiled for one does not run on every other.
std::string host_name();

// The kernel as a relocatable object. Throws Fault for an instruction that cannot be lowered.
std::string compile_kernel(const ptx::Module& module, const ptx::Function& kernel,
                           int compute_capability);

// Where an undefined value that the instruction of this line used came from, in words; `loads` are
// the lines that read undefined memory for its lane, the latest last.
std::string undefined_origin(const ptx::Module& module, const ptx::Function& kernel, int line,
                             const std::vector<int>& loads);

// An object linked into this process.
class LoadedKernel {
 public:
  // Throws Fault if the object is not one that compile_kernel made.
  explicit LoadedKernel(const std::string& object);
  ~LoadedKernel();
  LoadedKernel(const LoadedKernel&) = delete;
  LoadedKernel& operator=(const LoadedKernel&) = delete;

  void* function() const { return function_; }
  const KernelSummary& summary() const { return summary_; }

 private:
  struct Linker;
  std::unique_ptr<Linker> linker_;
  void* function_ = nullptr;
  KernelSummary summary_{};
};

}  // namespace octavo::emulator::lower
