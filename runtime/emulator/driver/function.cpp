// What a kernel needs and may have.
#include <algorithm>

#include "driver/api.hpp"

namespace octavo::emulator::driver {
namespace {

int most_shared_per_block(const Context& context) {
  return device_attribute(context.model, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
}

int attribute_of(const Context& context, const Function& function, CUfunction_attribute attribute) {
  switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
      return static_cast<int>(function.info->max_threads);
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:
      return static_cast<int>(function.info->static_shared_bytes);
    case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
      return static_cast<int>(function.info->local_bytes);
    case CU_FUNC_ATTRIBUTE_NUM_REGS:
      return static_cast<int>(function.info->registers);
    case CU_FUNC_ATTRIBUTE_PTX_VERSION:
      return function.module->ptx_version;
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
      return context.model.compute_capability;
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
      return function.most_dynamic_shared;
    default:
      throw Fault(CUDA_ERROR_INVALID_VALUE,
                  fmt::format("function attribute {} is not known", static_cast<int>(attribute)));
  }
}

constexpr int round_up(int value, int step) { return (value + step - 1) / step * step; }

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

}  // namespace
}  // namespace octavo::emulator::driver

using namespace octavo::emulator;
using namespace octavo::emulator::driver;

CUresult cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction function) {
  return with_context(__func__, [&](Context& context) {
    require(value != nullptr, "value: expected a place for the result");
    *value = attribute_of(context, *context.functions.find(function, "function"), attribute);
  });
}

CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value) {
  return with_context(__func__, [&](Context& context) {
    const std::shared_ptr<Function> found = context.functions.find(function, "function");
    require(attribute == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
            "attribute: expected CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES");
    const int most =
        most_shared_per_block(context) - static_cast<int>(found->info->static_shared_bytes);
    if (value < 0 || value > most) {
      throw Fault(CUDA_ERROR_INVALID_VALUE,
                  fmt::format("{} bytes of dynamic shared memory: {} allows {}, from 0 to {}",
                              value, context.model.name, found->info->name, most));
    }
    found->most_dynamic_shared = value;
  });
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction function, int threads,
                                                     std::size_t shared_bytes) {
  return with_context(__func__, [&](Context& context) {
    require(blocks != nullptr, "blocks: expected a place for the result");
    require(threads > 0, "threads: expected at least 1");
    *blocks = blocks_per_multiprocessor(context, *context.functions.find(function, "function"),
                                        threads, shared_bytes);
  });
}
