#include "runtime/kernel.hpp"

#include <fmt/format.h>

#include "runtime/driver.hpp"
#include "runtime/emulator/cuda_abi_more.h"
#include "runtime/handle.hpp"
#include "runtime/tensor_maps.hpp"

namespace octavo {
namespace {

// What a kernel may have without asking for more.
constexpr int kSharedBytesByDefault = 48 * 1024;
// The most blocks of a grid in y and in z.
constexpr unsigned kMaxGridYZ = 65535;

}  // namespace

struct Kernel::State {
  Handle<CUmodule, &Driver::cuModuleUnload> module;
  Plan plan;
  Resources resources;
  CUfunction function;

  State(const Device& device, Plan of, const Binary& binary)
      : module(device,
               [&](const Driver& driver, CUmodule* made) { load(driver, device, binary, made); }),
        plan(std::move(of)),
        resources(binary.resources),
        function(find(module, binary.entry)) {
    allow_shared_memory();
  }

  static void load(const Driver& driver, const Device& device, const Binary& binary,
                   CUmodule* module) {
    const CUresult result = driver.cuModuleLoadData(module, binary.cubin.data());
    if (result != CUDA_ERROR_NO_BINARY_FOR_GPU && result != CUDA_ERROR_INVALID_IMAGE) {
      driver.check(result, fmt::format("loading {} for {}", binary.entry, binary.arch));
      return;
    }
    driver.check(driver.cuModuleLoadData(module, binary.ptx.c_str()),
                 fmt::format("loading the PTX of {} for {} on {}", binary.entry, binary.arch,
                             device.name()));
  }

  static CUfunction find(const Handle<CUmodule, &Driver::cuModuleUnload>& module,
                         const std::string& entry) {
    CUfunction function = nullptr;
    const Driver& driver = module.current();
    driver.check(driver.cuModuleGetFunction(&function, module.value(), entry.c_str()),
                 fmt::format("finding kernel {}", entry));
    return function;
  }

  void allow_shared_memory() const {
    if (plan.shared_bytes + resources.shared_bytes <= kSharedBytesByDefault) return;
    const Driver& driver = module.current();
    driver.check(driver.cuFuncSetAttribute(
                     function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, plan.shared_bytes),
                 fmt::format("giving {} {} bytes of shared memory a block on {}", plan.entry,
                             plan.shared_bytes, module.device().name()));
  }

  // `arguments` is the kernel's one parameter, a struct by value.
  void launch(const LaunchShape& shape, const void* arguments, CUstream stream) const {
    if (shape.tokens == 0) return;
    const Grid blocks = grid(plan, shape);
    if (blocks.y > kMaxGridYZ || blocks.z > kMaxGridYZ) {
      throw UsageError(fmt::format("{} of {} tokens in {} sequences is too large for one launch",
                                   plan.entry, shape.tokens, shape.sequences));
    }
    const Driver& driver = module.current();
    CUlaunchAttribute dependent{};
    dependent.id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
    dependent.value.programmaticStreamSerializationAllowed = 1;
    CUlaunchConfig config{};
    config.gridDimX = blocks.x, config.gridDimY = blocks.y, config.gridDimZ = blocks.z;
    config.blockDimX = static_cast<unsigned>(plan.threads);
    config.blockDimY = config.blockDimZ = 1;
    config.sharedMemBytes = static_cast<unsigned>(plan.shared_bytes);
    config.hStream = stream;
    config.attrs = &dependent;
    config.numAttrs = plan.arch.dependent_launch ? 1 : 0;
    void* parameters[] = {const_cast<void*>(arguments)};
    driver.check(driver.cuLaunchKernelEx(&config, function, parameters, nullptr),
                 fmt::format("launching {} on a grid of {} x {} x {}", plan.entry, blocks.x,
                             blocks.y, blocks.z));
  }
};

Kernel::Kernel(const Device& device, Plan plan, const Binary& binary)
    : state_(std::make_shared<State>(device, std::move(plan), binary)) {}

const Plan& Kernel::plan() const { return state_->plan; }
const Resources& Kernel::resources() const { return state_->resources; }

void Kernel::launch(const LaunchShape& shape, const AppendArguments& arguments,
                    CUstream stream) const {
  state_->launch(shape, &arguments, stream);
}

void Kernel::launch(const LaunchShape& shape, const DecodeArguments& arguments,
                    CUstream stream) const {
  state_->launch(shape, &arguments, stream);
}

void Kernel::launch(const LaunchShape& shape, const PrefillArguments& arguments,
                    CUstream stream) const {
  if (shape.tokens == 0) return;
  PrefillKernelArguments all = with_maps(state_->module.current(), state_->plan, arguments);
  all.short_blocks = shape.short_blocks;
  all.short_rows = shape.short_rows;
  state_->launch(shape, &all, stream);
}

}  // namespace octavo
