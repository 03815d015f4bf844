// cuLaunchKernel: checks as the driver makes them, then the whole grid.
#include <cstring>
#include <vector>

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

void check_shape(const Context& context, const Function& function, const LaunchShape& shape) {
  check_dimension(context, "grid x", shape.grid.x, CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X);
  check_dimension(context, "grid y", shape.grid.y, CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y);
  check_dimension(context, "grid z", shape.grid.z, CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z);
  check_dimension(context, "block x", shape.block.x, CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X);
  check_dimension(context, "block y", shape.block.y, CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y);
  check_dimension(context, "block z", shape.block.z, CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z);
  const std::uint32_t threads = shape.block.x * shape.block.y * shape.block.z;  // at most 2^26
  if (threads > function.info->max_threads) {
    throw Fault(CUDA_ERROR_INVALID_VALUE,
                fmt::format("{} threads a block: {} allows {}", threads, function.info->name,
                            function.info->max_threads));
  }
  const int most = function.most_dynamic_shared;
  if (shape.dynamic_shared_bytes > static_cast<std::uint32_t>(most)) {
    throw Fault(
        CUDA_ERROR_INVALID_VALUE,
        fmt::format("{} bytes of dynamic shared memory: {} has {} unless cuFuncSetAttribute "
                    "gives it more",
                    shape.dynamic_shared_bytes, function.info->name, most));
  }
}

// The buffer that `extra` describes: CU_LAUNCH_PARAM_BUFFER_POINTER, _BUFFER_SIZE and _END.
void copy_extra(void** extra, std::vector<std::byte>& buffer) {
  const void* pointer = nullptr;
  const std::size_t* size = nullptr;
  constexpr std::uintptr_t kEnd = 0, kPointer = 1, kSize = 2;
  constexpr int kMostPairs = 2;
  for (int pair = 0; reinterpret_cast<std::uintptr_t>(extra[2 * pair]) != kEnd; ++pair) {
    require(pair < kMostPairs, "extra: expected CU_LAUNCH_PARAM_END after the buffer");
    const auto key = reinterpret_cast<std::uintptr_t>(extra[2 * pair]);
    require(key == kPointer || key == kSize, "extra: expected CU_LAUNCH_PARAM_BUFFER_*");
    if (key == kPointer) pointer = extra[2 * pair + 1];
    if (key == kSize) size = static_cast<const std::size_t*>(extra[2 * pair + 1]);
  }
  require(pointer != nullptr && size != nullptr, "extra: expected a buffer and its size");
  if (*size != buffer.size()) {
    const bool more = *size > buffer.size();
    throw Fault(
        more ? CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES : CUDA_ERROR_INVALID_VALUE,
        fmt::format("extra: expected {} bytes of parameters, not {}", buffer.size(), *size));
  }
  std::memcpy(buffer.data(), pointer, buffer.size());
}

std::vector<std::byte> gather_parameters(const KernelInfo& info, void** params, void** extra) {
  std::vector<std::byte> buffer(info.parameter_bytes);
  require(params == nullptr || extra == nullptr, "params and extra: expected one of them");
  if (extra != nullptr) {
    copy_extra(extra, buffer);
    return buffer;
  }
  if (info.parameters.empty()) return buffer;
  require(params != nullptr, "params: expected the kernel's parameters");
  for (std::size_t i = 0; i < info.parameters.size(); ++i) {
    if (params[i] == nullptr) {
      throw Fault(CUDA_ERROR_INVALID_VALUE, fmt::format("params[{}] is a null pointer", i));
    }
    std::memcpy(buffer.data() + info.parameters[i].offset, params[i], info.parameters[i].bytes);
  }
  return buffer;
}

// Whether the fault is the device's, which ends the context; else the launch was refused.
bool ends_context(CUresult code) {
  return code >= CUDA_ERROR_ILLEGAL_ADDRESS && code != CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES &&
         code != CUDA_ERROR_NOT_SUPPORTED && code != CUDA_ERROR_INVALID_CLUSTER_SIZE;
}

}  // namespace
}  // namespace octavo::emulator::driver

using namespace octavo::emulator;
using namespace octavo::emulator::driver;

CUresult cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                        unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                        CUstream stream, void** params, void** extra) {
  return with_context(__func__, [&](Context& context) {
    const std::shared_ptr<Function> found = context.functions.find(function, "function");
    context.check_stream(stream);
    const LaunchShape shape{{grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared_bytes};
    check_shape(context, *found, shape);
    const std::vector<std::byte> parameters = gather_parameters(*found->info, params, extra);
    const std::lock_guard lock(context.running);
    context.check();
    try {
      found->module->program->launch(*found->info, shape, parameters);
    } catch (const Fault& fault) {
      if (ends_context(fault.code())) context.fail_for_good(fault);
      throw;
    }
  });
}
