#include "driver/launch_config.hpp"

#include <algorithm>

#include "driver/api.hpp"

namespace octavo::emulator::driver {
namespace {

void check_dimension(const Context& context, const char* which, std::uint32_t value,
                     CUdevice_attribute limit) {
  const int most = device_attribute(context.model, limit);
  if (value == 0 || value > static_cast<std::uint32_t>(most)) {
    throw Fault(CUDA_ERROR_INVALID_VALUE,
                fmt::format("{} {}: expected 1 to {}", which, value, most));
  }
}

bool differ(const Dim3& a, const Dim3& b) { return a.x != b.x || a.y != b.y || a.z != b.z; }

std::string text_of(const Dim3& size) { return fmt::format("{}x{}x{}", size.x, size.y, size.z); }

[[noreturn]] void wrong_cluster(const Function& function, const std::string& what) {
  throw Fault(CUDA_ERROR_INVALID_CLUSTER_SIZE, fmt::format("{}: {}", function.info->name, what));
}

// The cluster that the kernel was compiled for or cuFuncSetAttribute requires; zeros for none.
Dim3 required_cluster(const Function& function) {
  if (count(function.info->required_cluster) != 0) return function.info->required_cluster;
  if (function.cluster_width == 0) return {0, 0, 0};
  const auto size = [](int value) { return static_cast<std::uint32_t>(std::max(value, 1)); };
  return {size(function.cluster_width), size(function.cluster_height),
          size(function.cluster_depth)};
}

void check_cluster(const Context& context, const Function& function, LaunchShape& shape) {
  const Dim3 required = required_cluster(function);
  if (count(required) != 0) {
    if (shape.explicit_cluster && differ(shape.cluster, required)) {
      wrong_cluster(function, fmt::format("clusters of {}: it requires {}", text_of(shape.cluster),
                                          text_of(required)));
    }
    shape.cluster = required;
    shape.explicit_cluster = true;
  }
  if (function.info->explicit_cluster && !shape.explicit_cluster) {
    wrong_cluster(function, "expected a cluster dimension: it is .explicitcluster");
  }
  if (!shape.explicit_cluster) return;
  const Dim3 cluster = shape.cluster, grid = shape.grid;
  if (count(cluster) > 1 &&
      device_attribute(context.model, CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH) == 0) {
    throw Fault(CUDA_ERROR_NOT_SUPPORTED, fmt::format("{} has no clusters", context.model.name));
  }
  if (count(cluster) == 0 || count(cluster) > most_cluster_blocks(function)) {
    wrong_cluster(function, fmt::format("clusters of {}: expected 1 to {} blocks", text_of(cluster),
                                        most_cluster_blocks(function)));
  }
  if (grid.x % cluster.x != 0 || grid.y % cluster.y != 0 || grid.z % cluster.z != 0) {
    wrong_cluster(function, fmt::format("clusters of {} in a grid of {}: expected whole clusters",
                                        text_of(cluster), text_of(grid)));
  }
}

void check_block(const Function& function, const LaunchShape& shape) {
  const KernelInfo& info = *function.info;
  const std::uint64_t threads = count(shape.block);  // at most 2^26
  if (threads > info.max_threads) {
    throw Fault(CUDA_ERROR_INVALID_VALUE, fmt::format("{} threads a block: {} allows {}", threads,
                                                      info.name, info.max_threads));
  }
  if (count(info.required_block) != 0 && differ(shape.block, info.required_block)) {
    throw Fault(CUDA_ERROR_INVALID_VALUE,
                fmt::format("blocks of {}: {} requires {}", text_of(shape.block), info.name,
                            text_of(info.required_block)));
  }
  const int most = function.most_dynamic_shared;
  if (shape.dynamic_shared_bytes > static_cast<std::uint32_t>(most)) {
    throw Fault(
        CUDA_ERROR_INVALID_VALUE,
        fmt::format("{} bytes of dynamic shared memory: {} has {} unless cuFuncSetAttribute "
                    "gives it more",
                    shape.dynamic_shared_bytes, info.name, most));
  }
}

void check_residency(const Context& context, const Function& function, const LaunchShape& shape) {
  const int blocks = blocks_per_multiprocessor(
      context, function, static_cast<int>(count(shape.block)), shape.dynamic_shared_bytes);
  const std::uint64_t resident = static_cast<std::uint64_t>(blocks) * context.model.multiprocessors;
  if (count(shape.grid) <= resident) return;
  throw Fault(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE,
              fmt::format("{} blocks of {}: the device holds {} at once", count(shape.grid),
                          function.info->name, resident));
}

}  // namespace

LaunchShape read_config(const CUlaunchConfig& config) {
  LaunchShape shape;
  shape.grid = {config.gridDimX, config.gridDimY, config.gridDimZ};
  shape.block = {config.blockDimX, config.blockDimY, config.blockDimZ};
  shape.dynamic_shared_bytes = config.sharedMemBytes;
  require(config.numAttrs == 0 || config.attrs != nullptr, "attrs: expected the attributes");
  for (unsigned i = 0; i < config.numAttrs; ++i) {
    const CUlaunchAttribute& attribute = config.attrs[i];
    switch (attribute.id) {
      case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION: {
        const auto& size = attribute.value.clusterDim;
        require(size.x != 0 && size.y != 0 && size.z != 0, "clusterDim: expected at least 1x1x1");
        shape.cluster = {size.x, size.y, size.z};
        shape.explicit_cluster = true;
        break;
      }
      case CU_LAUNCH_ATTRIBUTE_COOPERATIVE:
        shape.cooperative = attribute.value.cooperative != 0;
        break;
      case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION:
        shape.dependent = attribute.value.programmaticStreamSerializationAllowed != 0;
        break;
      // Advice, and orders that hold already where launches run one after another.
      case CU_LAUNCH_ATTRIBUTE_IGNORE:
      case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
      case CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY:
      case CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
      case CU_LAUNCH_ATTRIBUTE_PRIORITY:
      case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
      case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
      case CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION:
      case CU_LAUNCH_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
        break;
      case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT:
        throw Fault(CUDA_ERROR_NOT_SUPPORTED, "CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT");
      case CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT:
        throw Fault(CUDA_ERROR_NOT_SUPPORTED, "CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT");
      case CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE:
        throw Fault(CUDA_ERROR_NOT_SUPPORTED, "CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE");
      default:
        throw Fault(CUDA_ERROR_INVALID_VALUE, fmt::format("launch attribute {} is not known",
                                                          static_cast<int>(attribute.id)));
    }
  }
  return shape;
}

std::uint32_t most_cluster_blocks(const Function& function) {
  constexpr std::uint32_t kPortable = 8, kMost = 16;
  const std::uint32_t most = function.non_portable_cluster != 0 ? kMost : kPortable;
  const std::uint32_t own = function.info->max_cluster_blocks;
  return own == 0 ? most : std::min(own, kMost);
}

void check_launch(const Context& context, const Function& function, LaunchShape& shape) {
  check_dimension(context, "grid x", shape.grid.x, CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X);
  check_dimension(context, "grid y", shape.grid.y, CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y);
  check_dimension(context, "grid z", shape.grid.z, CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z);
  check_dimension(context, "block x", shape.block.x, CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X);
  check_dimension(context, "block y", shape.block.y, CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y);
  check_dimension(context, "block z", shape.block.z, CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z);
  check_block(function, shape);
  check_cluster(context, function, shape);
  if (shape.cooperative) check_residency(context, function, shape);
}

}  // namespace octavo::emulator::driver
