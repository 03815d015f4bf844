// What a launch asks for beside its parameters.
#pragma once

#include "cuda_abi_more.h"
#include "driver/context.hpp"

namespace octavo::emulator::driver {

// Reads a configuration with its attributes. What changes nothing that a program can see is
// accepted; what the emulator does not do is a Fault NOT_SUPPORTED that names it.
LaunchShape read_config(const CUlaunchConfig& config);

// Fills in the cluster that the kernel or cuFuncSetAttribute asks for if the launch does not, and
// checks all of it as the driver does. Throws Fault.
void check_launch(const Context& context, const Function& function, LaunchShape& shape);

// Blocks in a cluster at most: 8 everywhere, 16 where the kernel allows what is not portable.
std::uint32_t most_cluster_blocks(const Function& function);

// Blocks of so many threads that a multiprocessor holds.
int blocks_per_multiprocessor(const Context& context, const Function& function, int threads,
                              std::size_t shared_bytes);

}  // namespace octavo::emulator::driver
