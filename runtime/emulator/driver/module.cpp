// Modules, their functions and variables.
#include "driver/api.hpp"
#include "driver/image.hpp"

using namespace octavo::emulator;
using namespace octavo::emulator::driver;

CUresult cuModuleLoadData(CUmodule* module, const void* image) {
  return with_context(__func__, [&](Context& context) {
    require(module != nullptr, "module: expected a place for the result");
    require(image != nullptr, "image: expected PTX text");
    const Image read = read_image(image, context.model);
    auto loaded = std::make_shared<Module>();
    loaded->ptx_version = read.version;
    loaded->program = Program::load(read.ptx, context.model, context.memory);
    *module = context.modules.add(std::move(loaded));
  });
}

CUresult cuModuleUnload(CUmodule module) {
  return with_context(__func__, [&](Context& context) {
    const std::shared_ptr<Module> removed = context.modules.remove(module, "module");
    const std::lock_guard running(context.running);
    const std::lock_guard lock(removed->mutex);
    for (const auto& [name, function] : removed->functions) {
      context.functions.remove(function, "function");
    }
    removed->functions.clear();
  });
}

CUresult cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
  return with_context(__func__, [&](Context& context) {
    require(function != nullptr, "function: expected a place for the result");
    require(name != nullptr, "name: expected a kernel's name");
    const std::shared_ptr<Module> found = context.modules.find(module, "module");
    const std::lock_guard lock(found->mutex);
    if (const auto known = found->functions.find(name); known != found->functions.end()) {
      *function = known->second;
      return;
    }
    const KernelInfo* info = found->program->find_kernel(name);
    if (info == nullptr) {
      throw Fault(CUDA_ERROR_NOT_FOUND, fmt::format("`{}`: the module has no such kernel", name));
    }
    auto made = std::make_shared<Function>();
    made->module = found;
    made->info = info;
    const int usual =
        device_attribute(context.model, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK);
    made->most_dynamic_shared = std::max(0, usual - static_cast<int>(info->static_shared_bytes));
    *function = context.functions.add(std::move(made));
    found->functions.emplace(name, *function);
  });
}

CUresult cuModuleGetGlobal_v2(CUdeviceptr* address, std::size_t* bytes, CUmodule module,
                              const char* name) {
  return with_context("cuModuleGetGlobal", [&](Context& context) {
    require(address != nullptr || bytes != nullptr,
            "address, bytes: expected a place for a result");
    require(name != nullptr, "name: expected a variable's name");
    const Program::Global* global =
        context.modules.find(module, "module")->program->find_global(name);
    if (global == nullptr) {
      throw Fault(CUDA_ERROR_NOT_FOUND, fmt::format("`{}`: the module has no such variable", name));
    }
    if (address != nullptr) *address = global->address;
    if (bytes != nullptr) *bytes = global->bytes;
  });
}
