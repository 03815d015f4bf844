// Launches: checks as the driver makes them, then the whole grid.
#include <cstring>
#include <vector>

#include "driver/api.hpp"
#include "driver/launch_config.hpp"
#include "execute/order.hpp"

namespace octavo::emulator::driver {
namespace {

thread_local std::uint64_t last_warp_instructions = 0;

constexpr std::size_t kMostHeld = 3;  // launches: more of them overlap no further

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

CUresult launch(const char* name, CUfunction function, LaunchShape shape, CUstream stream,
                void** params, void** extra) {
  const auto body = [&](Context& context) {
    const std::shared_ptr<Function> found = context.functions.find(function, "function");
    context.check_stream(stream);
    check_launch(context, *found, shape);
    const std::vector<std::byte> parameters = gather_parameters(*found->info, params, extra);
    const std::lock_guard lock(context.running);
    const bool begins_early =
        shape.dependent && !context.held.empty() && context.held.back().stream == stream;
    if (!begins_early) context.end_held();
    context.check();
    std::unique_ptr<GridRun> run = found->module->program->prepare(*found->info, shape, parameters);
    // As long as what was launched lets more begin, nothing has to end.
    const bool lets_go = begins_early && run->begin_early();
    if (!lets_go || context.held.size() == kMostHeld) context.end_held();
    if (order_from_environment().early_dependents && found->info->lets_dependents_begin) {
      context.hold({found, std::move(run), stream});
    } else {
      context.end_held();
      last_warp_instructions = context.finish(*run);
    }
  };
  return with_context(name, body, true);
}

}  // namespace
}  // namespace octavo::emulator::driver

using namespace octavo::emulator;
using namespace octavo::emulator::driver;

CUresult cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                        unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                        CUstream stream, void** params, void** extra) {
  const LaunchShape shape{.grid = {grid_x, grid_y, grid_z},
                          .block = {block_x, block_y, block_z},
                          .dynamic_shared_bytes = shared_bytes};
  return launch(__func__, function, shape, stream, params, extra);
}

CUresult cuLaunchCooperativeKernel(CUfunction function, unsigned grid_x, unsigned grid_y,
                                   unsigned grid_z, unsigned block_x, unsigned block_y,
                                   unsigned block_z, unsigned shared_bytes, CUstream stream,
                                   void** params) {
  const LaunchShape shape{.grid = {grid_x, grid_y, grid_z},
                          .block = {block_x, block_y, block_z},
                          .dynamic_shared_bytes = shared_bytes,
                          .cooperative = true};
  return launch(__func__, function, shape, stream, params, nullptr);
}

CUresult cuLaunchKernelEx(const CUlaunchConfig* config, CUfunction function, void** params,
                          void** extra) {
  LaunchShape shape;
  CUstream stream = nullptr;
  const CUresult read = guarded(__func__, [&] {
    require(config != nullptr, "config: expected a configuration");
    shape = read_config(*config);
    stream = config->hStream;
  });
  if (read != CUDA_SUCCESS) return read;
  return launch(__func__, function, shape, stream, params, extra);
}

CUresult octavoEmulatorWarpInstructions(std::uint64_t* count) {
  if (count == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *count = last_warp_instructions;
  return CUDA_SUCCESS;
}
