// How many blocks and clusters the device holds at once.
#include <algorithm>

#include "driver/api.hpp"
#include "driver/launch_config.hpp"

namespace octavo::emulator::driver {
namespace {

constexpr int round_up(int value, int step) { return (value + step - 1) / step * step; }

// A cluster's blocks share a graphics processing cluster. These have up to 18 multiprocessors, in
// pairs, spread as evenly as they go: an H100's are six of 16 and two of 18.
int clusters_on_device(const Context& context, int blocks_per_multiprocessor, int cluster_blocks) {
  constexpr int kMostOfGpc = 18;
  const int multiprocessors = context.model.multiprocessors, pairs = multiprocessors / 2;
  const int gpcs = (multiprocessors + kMostOfGpc - 1) / kMostOfGpc;
  int clusters = 0;
  for (int gpc = 0; gpc < gpcs; ++gpc) {
    const int here = 2 * (pairs / gpcs + (gpc < pairs % gpcs ? 1 : 0));
    clusters += here * blocks_per_multiprocessor / cluster_blocks;
  }
  return clusters;
}

// The launch that a configuration describes, checked; and the blocks of it on a multiprocessor.
struct Asked {
  LaunchShape shape;
  int blocks;
};

Asked read(const Context& context, const Function& function, const CUlaunchConfig* config) {
  require(config != nullptr, "config: expected a configuration");
  Asked asked{read_config(*config), 0};
  const LaunchShape& shape = asked.shape;
  require(count(shape.block) > 0 && count(shape.block) <= function.info->max_threads,
          "config: expected a block that the kernel allows");
  asked.blocks = blocks_per_multiprocessor(context, function, static_cast<int>(count(shape.block)),
                                           shape.dynamic_shared_bytes);
  return asked;
}

}  // namespace

// The least of what threads, blocks, registers and shared memory allow. Registers are given out to
// a warp 256 at a time, shared memory to a block 128 bytes at a time.
int blocks_per_multiprocessor(const Context& context, const Function& function, int threads,
                              std::size_t shared_bytes) {
  const auto device = [&](CUdevice_attribute which) {
    return device_attribute(context.model, which);
  };
  const auto most_shared = static_cast<std::size_t>(function.most_dynamic_shared);
  if (shared_bytes > most_shared) return 0;
  const int warps = (threads + 31) / 32;
  const int registers = warps * round_up(static_cast<int>(function.info->registers) * 32, 256);
  const int shared = round_up(static_cast<int>(function.info->static_shared_bytes + shared_bytes) +
                                  device(CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK),
                              128);
  return std::min(
      {device(CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR),
       device(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR) / (warps * 32),
       device(CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR) / std::max(registers, 1),
       device(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR) / shared});
}

}  // namespace octavo::emulator::driver

using namespace octavo::emulator;
using namespace octavo::emulator::driver;

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction function, int threads,
                                                     std::size_t shared_bytes) {
  return with_context(__func__, [&](Context& context) {
    require(blocks != nullptr, "blocks: expected a place for the result");
    require(threads > 0, "threads: expected at least 1");
    *blocks = blocks_per_multiprocessor(context, *context.functions.find(function, "function"),
                                        threads, shared_bytes);
  });
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, CUfunction function,
                                                              int threads, std::size_t shared_bytes,
                                                              unsigned flags) {
  return with_context(__func__, [&](Context& context) {
    constexpr unsigned kDisableCachingOverride = 1;
    require(blocks != nullptr, "blocks: expected a place for the result");
    require(threads > 0, "threads: expected at least 1");
    require((flags & ~kDisableCachingOverride) == 0, "flags: expected CU_OCCUPANCY flags");
    *blocks = blocks_per_multiprocessor(context, *context.functions.find(function, "function"),
                                        threads, shared_bytes);
  });
}

// Of the blocks with which a multiprocessor holds the most threads, the largest.
CUresult cuOccupancyMaxPotentialBlockSize(int* grid, int* block, CUfunction function,
                                          CUoccupancyB2DSize shared_of_block,
                                          std::size_t shared_bytes, int limit) {
  return with_context(__func__, [&](Context& context) {
    require(grid != nullptr && block != nullptr, "grid, block: expected places for the results");
    require(limit >= 0, "limit: expected 0 or a number of threads");
    const std::shared_ptr<Function> found = context.functions.find(function, "function");
    const int most = static_cast<int>(found->info->max_threads);
    int best = 0;
    *grid = *block = 0;
    for (int threads = limit == 0 ? most : std::min(limit, most); threads > 0;
         threads = (threads - 1) / 32 * 32) {
      const std::size_t shared =
          shared_of_block == nullptr ? shared_bytes : shared_of_block(threads);
      const int blocks = blocks_per_multiprocessor(context, *found, threads, shared);
      if (blocks * threads <= best) continue;
      best = blocks * threads;
      *block = threads;
      *grid = blocks * context.model.multiprocessors;
    }
  });
}

CUresult cuOccupancyMaxActiveClusters(int* clusters, CUfunction function,
                                      const CUlaunchConfig* config) {
  return with_context(__func__, [&](Context& context) {
    require(clusters != nullptr, "clusters: expected a place for the result");
    const std::shared_ptr<Function> found = context.functions.find(function, "function");
    Asked asked = read(context, *found, config);
    check_launch(context, *found, asked.shape);
    *clusters =
        clusters_on_device(context, asked.blocks, static_cast<int>(count(asked.shape.cluster)));
  });
}

CUresult cuOccupancyMaxPotentialClusterSize(int* size, CUfunction function,
                                            const CUlaunchConfig* config) {
  return with_context(__func__, [&](Context& context) {
    require(size != nullptr, "size: expected a place for the result");
    const std::shared_ptr<Function> found = context.functions.find(function, "function");
    const Asked asked = read(context, *found, config);
    *size = static_cast<int>(most_cluster_blocks(*found));
    while (*size > 1 && clusters_on_device(context, asked.blocks, *size) == 0) *size /= 2;
  });
}
