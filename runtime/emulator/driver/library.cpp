// Libraries: modules by the calls that do not name a context.
#include "driver/api.hpp"

using namespace octavo::emulator;
using namespace octavo::emulator::driver;

namespace {

void check(CUresult result) {
  if (result != CUDA_SUCCESS) throw Fault(result, last_fault());
}

CUfunction function_of(const Context& context, CUkernel kernel) {
  return context.kernels.find(kernel, "kernel")->function;
}

}  // namespace

CUresult cuLibraryLoadData(CUlibrary* library, const void* image, CUjit_option* options,
                           void** values, unsigned count, int*, void**, unsigned library_count) {
  return with_context(__func__, [&](Context& context) {
    require(library != nullptr, "library: expected a place for the result");
    require(library_count == 0, "library options: expected none");
    auto made = std::make_shared<Library>();
    check(cuModuleLoadDataEx(&made->module, image, count, options, values));
    *library = context.libraries.add(std::move(made));
  });
}

CUresult cuLibraryUnload(CUlibrary library) {
  return with_context(__func__, [&](Context& context) {
    const std::shared_ptr<Library> removed = context.libraries.remove(library, "library");
    {
      const std::lock_guard lock(removed->mutex);
      for (const auto& [name, kernel] : removed->kernels) context.kernels.remove(kernel, "kernel");
    }
    check(cuModuleUnload(removed->module));
  });
}

CUresult cuLibraryGetModule(CUmodule* module, CUlibrary library) {
  return with_context(__func__, [&](Context& context) {
    require(module != nullptr, "module: expected a place for the result");
    *module = context.libraries.find(library, "library")->module;
  });
}

CUresult cuLibraryGetKernel(CUkernel* kernel, CUlibrary library, const char* name) {
  return with_context(__func__, [&](Context& context) {
    require(kernel != nullptr, "kernel: expected a place for the result");
    require(name != nullptr, "name: expected a kernel's name");
    const std::shared_ptr<Library> found = context.libraries.find(library, "library");
    const std::lock_guard lock(found->mutex);
    const auto known = found->kernels.find(name);
    if (known != found->kernels.end()) {
      *kernel = known->second;
      return;
    }
    auto made = std::make_shared<LibraryKernel>();
    check(cuModuleGetFunction(&made->function, found->module, name));
    *kernel = context.kernels.add(std::move(made));
    found->kernels.emplace(name, *kernel);
  });
}

CUresult cuLibraryGetGlobal(CUdeviceptr* address, std::size_t* bytes, CUlibrary library,
                            const char* name) {
  return with_context(__func__, [&](Context& context) {
    check(cuModuleGetGlobal_v2(address, bytes, context.libraries.find(library, "library")->module,
                               name));
  });
}

CUresult cuKernelGetFunction(CUfunction* function, CUkernel kernel) {
  return with_context(__func__, [&](Context& context) {
    require(function != nullptr, "function: expected a place for the result");
    *function = function_of(context, kernel);
  });
}

CUresult cuKernelGetAttribute(int* value, CUfunction_attribute attribute, CUkernel kernel,
                              CUdevice device) {
  return with_context(__func__, [&](Context& context) {
    Session::get().check_device(device);
    check(cuFuncGetAttribute(value, attribute, function_of(context, kernel)));
  });
}

CUresult cuKernelSetAttribute(CUfunction_attribute attribute, int value, CUkernel kernel,
                              CUdevice device) {
  return with_context(__func__, [&](Context& context) {
    Session::get().check_device(device);
    check(cuFuncSetAttribute(function_of(context, kernel), attribute, value));
  });
}
