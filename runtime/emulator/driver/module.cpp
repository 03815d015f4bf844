// Modules, their functions and variables.
#include <algorithm>
#include <fstream>
#include <iterator>

#include "driver/api.hpp"
#include "driver/image.hpp"

using namespace octavo::emulator;
using namespace octavo::emulator::driver;

namespace {

// A log that the caller of cuModuleLoadDataEx has room for.
struct Log {
  char* text = nullptr;
  std::size_t room = 0;
  void** written = nullptr;  // where the bytes written go: over the option that gave the room

  void write(std::string_view message) const {
    std::size_t bytes = 0;
    if (text != nullptr && room != 0) {
      bytes = message.copy(text, room - 1);
      text[bytes] = '\0';
    }
    if (written != nullptr) *written = reinterpret_cast<void*>(bytes);
  }
};

}  // namespace

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

// What the options ask of a compiler changes nothing here. A fault's message is the error log.
CUresult cuModuleLoadDataEx(CUmodule* module, const void* image, unsigned count,
                            CUjit_option* options, void** values) {
  if (count != 0 && (options == nullptr || values == nullptr)) {
    return failed(__func__, CUDA_ERROR_INVALID_VALUE, "options, values: expected the options");
  }
  Log info, error;
  for (unsigned i = 0; i < count; ++i) {
    const bool is_error = options[i] >= CU_JIT_ERROR_LOG_BUFFER;
    Log& log = is_error ? error : info;
    switch (options[i]) {
      case CU_JIT_INFO_LOG_BUFFER:
      case CU_JIT_ERROR_LOG_BUFFER:
        log.text = static_cast<char*>(values[i]);
        break;
      case CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES:
      case CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES:
        log.room = static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(values[i]));
        log.written = &values[i];
        break;
      default:
        break;
    }
  }
  const CUresult result = cuModuleLoadData(module, image);
  info.write({});
  error.write(result == CUDA_SUCCESS ? std::string_view{} : last_fault());
  return result;
}

CUresult cuModuleLoad(CUmodule* module, const char* path) {
  if (path == nullptr) {
    return failed(__func__, CUDA_ERROR_INVALID_VALUE, "path: expected a file's name");
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return failed(__func__, CUDA_ERROR_FILE_NOT_FOUND, fmt::format("{}: cannot be read", path));
  }
  const std::string image(std::istreambuf_iterator<char>(file), {});
  return cuModuleLoadData(module, image.c_str());
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
    made->module_handle = module;
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
