// Kernel: a loaded function with typed arguments and its launch geometry.
#pragma once

#include <memory>

#include "generator/plan.hpp"
#include "runtime/binary.hpp"
#include "runtime/device.hpp"
#include "templates/arguments.cuh"

namespace octavo {

class Kernel {
 public:
  // Loads the cubin, or the PTX where the device takes no such cubin (the emulator, a newer GPU).
  Kernel(const Device& device, Plan plan, const Binary& binary);

  const Plan& plan() const;
  const Resources& resources() const;

  // Enqueues one launch and returns. The arguments' memory must live until the work is done.
  void launch(const LaunchShape& shape, const AppendArguments& arguments, CUstream stream) const;
  void launch(const LaunchShape& shape, const DecodeArguments& arguments, CUstream stream) const;
  void launch(const LaunchShape& shape, const PrefillArguments& arguments, CUstream stream) const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace octavo
