// The functions that have something to give, in place of those of every_function.cpp.
#include "fake_driver.hpp"

#include <cstdlib>
#include <cstring>

#include "runtime/emulator/cuda_abi_more.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

using octavo::test::FakeDriver;

EXPORT FakeDriver* octavo_fake_driver() {
  static FakeDriver driver;
  return &driver;
}

namespace {

FakeDriver& fake() { return *octavo_fake_driver(); }

}  // namespace

EXPORT CUresult cuGetErrorName(CUresult error, const char** name) {
  *name = error == CUDA_ERROR_OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : nullptr;
  return *name == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

EXPORT CUresult cuGetErrorString(CUresult error, const char** text) {
  *text = error == CUDA_ERROR_OUT_OF_MEMORY ? "out of memory" : nullptr;
  return *text == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

EXPORT CUresult cuDeviceGetCount(int* count) {
  *count = fake().devices;
  return fake().called("cuDeviceGetCount");
}

EXPORT CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  *device = ordinal;
  return ordinal < fake().devices ? fake().called("cuDeviceGet") : CUDA_ERROR_INVALID_DEVICE;
}

EXPORT CUresult cuDeviceGetName(char* name, int length, CUdevice) {
  std::strncpy(name, "Fake GPU", static_cast<std::size_t>(length));
  return fake().called("cuDeviceGetName");
}

EXPORT CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice) {
  *value = 0;
  if (attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) {
    *value = fake().compute_capability / 10;
  }
  if (attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR) {
    *value = fake().compute_capability % 10;
  }
  if (attribute == CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT) *value = fake().multiprocessors;
  return fake().called("cuDeviceGetAttribute");
}

EXPORT CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice) {
  *context = reinterpret_cast<CUcontext>(octavo_fake_driver());
  return fake().called("cuDevicePrimaryCtxRetain");
}

EXPORT CUresult cuMemAlloc_v2(CUdeviceptr* address, std::size_t bytes) {
  const CUresult result = fake().called("cuMemAlloc");
  if (result == CUDA_SUCCESS) *address = reinterpret_cast<CUdeviceptr>(std::malloc(bytes));
  return result;
}

EXPORT CUresult cuMemFree_v2(CUdeviceptr address) {
  std::free(reinterpret_cast<void*>(address));
  return fake().called("cuMemFree");
}

EXPORT CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void* from, std::size_t bytes) {
  std::memcpy(reinterpret_cast<void*>(to), from, bytes);
  return fake().called("cuMemcpyHtoD");
}

EXPORT CUresult cuMemcpyDtoH_v2(void* to, CUdeviceptr from, std::size_t bytes) {
  std::memcpy(to, reinterpret_cast<const void*>(from), bytes);
  return fake().called("cuMemcpyDtoH");
}

EXPORT CUresult cuMemsetD8_v2(CUdeviceptr to, unsigned char value, std::size_t count) {
  std::memset(reinterpret_cast<void*>(to), value, count);
  return fake().called("cuMemsetD8");
}

EXPORT CUresult cuEventElapsedTime(float* milliseconds, CUevent, CUevent) {
  *milliseconds = 1.5f;
  return fake().called("cuEventElapsedTime");
}

EXPORT CUresult cuModuleLoadData(CUmodule* module, const void* image) {
  const bool cubin = std::memcmp(image,
                                 "\x7f"
                                 "ELF",
                                 4) == 0;
  fake().images.emplace_back(cubin ? "cubin" : "ptx");
  *module = reinterpret_cast<CUmodule>(octavo_fake_driver());
  const CUresult result = fake().called("cuModuleLoadData");
  return cubin && fake().cubin_result != CUDA_SUCCESS ? fake().cubin_result : result;
}

EXPORT CUresult cuFuncSetAttribute(CUfunction, CUfunction_attribute attribute, int value) {
  if (attribute == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) {
    fake().max_dynamic_shared = value;
  }
  return fake().called("cuFuncSetAttribute");
}

EXPORT CUresult cuLaunchKernelEx(const CUlaunchConfig* config, CUfunction, void** parameters,
                                 void**) {
  const char* arguments = static_cast<const char*>(parameters[0]);
  fake().launches.push_back({config->gridDimX,
                             config->gridDimY,
                             config->gridDimZ,
                             config->blockDimX,
                             config->sharedMemBytes,
                             config->hStream,
                             {arguments, arguments + fake().argument_bytes}});
  return fake().called("cuLaunchKernelEx");
}

EXPORT CUresult cuTensorMapEncodeTiled(CUtensorMap* map, CUtensorMapDataType, unsigned,
                                       void* address, const std::uint64_t* sizes,
                                       const std::uint64_t* strides, const unsigned* box,
                                       const unsigned*, CUtensorMapInterleave,
                                       CUtensorMapSwizzle swizzle, CUtensorMapL2promotion,
                                       CUtensorMapFloatOOBfill) {
  fake().tensor_maps.push_back({reinterpret_cast<CUdeviceptr>(address),
                                {sizes[0], sizes[1]},
                                strides[0],
                                {box[0], box[1]},
                                swizzle});
  map->opaque[0] = fake().tensor_maps.size();
  return fake().called("cuTensorMapEncodeTiled");
}

#ifdef OCTAVO_FAKE_EMULATOR
EXPORT CUresult octavoEmulatorLastFault(const char** text) {
  *text = fake().last_fault.c_str();
  return CUDA_SUCCESS;
}
#endif
