// Modules, functions and launches. Codes are those that an H200's driver gives for the same calls,
// but where a comment says otherwise.
#include <array>
#include <cstring>
#include <vector>

#include "fixture.hpp"

namespace octavo::emulator {
namespace {

std::string module_for(const std::string& target, const std::string& version = "8.6") {
  return ".version " + version + "\n.target " + target +
         "\n.address_size 64\n.visible .entry k() { ret; }\n";
}

CUresult load(const std::string& text) {
  CUmodule module = nullptr;
  return cuModuleLoadData(&module, text.c_str());
}

TEST_CASE("images that are not PTX for this GPU") {
  const LoadedKernels kernels;
  CUmodule module = nullptr;
  CHECK(cuModuleLoadData(&module, nullptr) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuModuleLoadData(nullptr, kKernels) == CUDA_ERROR_INVALID_VALUE);
  CHECK(load("") == CUDA_ERROR_INVALID_IMAGE);
  CHECK(load("hello") == CUDA_ERROR_INVALID_IMAGE);
  // A GPU runs such an image if it was compiled for it; the emulator wants its PTX instead.
  CHECK(load("\x7f"
             "ELF\x02\x01\x01") == CUDA_ERROR_NO_BINARY_FOR_GPU);
  CHECK(load("\x50\xed\x55\xba\x01") == CUDA_ERROR_NO_BINARY_FOR_GPU);
  CHECK(load("\x7f") == CUDA_ERROR_INVALID_IMAGE);
  CHECK(load(".version 8.0\nx") == CUDA_ERROR_INVALID_PTX);
  CHECK(load(module_for("sm_90", "99.0")) == CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
  CHECK(load(module_for("sm_9x")) == CUDA_ERROR_INVALID_PTX);
  CHECK(load(module_for("sm_90") + ".entry k(") == CUDA_ERROR_INVALID_PTX);
  last_message_has("cuModuleLoadData: line 5: ");
}

TEST_CASE("what a .target runs on") {
  const LoadedKernels kernels;
  CHECK(load(module_for("sm_80")) == CUDA_SUCCESS);
  CHECK(load(module_for("sm_90")) == CUDA_SUCCESS);
  CHECK(load(module_for("sm_90a")) == CUDA_SUCCESS);
  CHECK(load(module_for("sm_100")) == CUDA_ERROR_INVALID_PTX);
  CHECK(load(module_for("sm_100a")) == CUDA_ERROR_INVALID_PTX);
  CHECK(load(module_for("sm_100f")) == CUDA_ERROR_INVALID_PTX);
  CHECK(load(module_for("sm_80a")) == CUDA_ERROR_INVALID_PTX);
  last_message_has(
      ".target sm_80a does not run on NVIDIA H100 80GB HBM3 (emulated), which is sm_90");
}

TEST_CASE("functions and variables by name") {
  LoadedKernels kernels;
  CUfunction function = nullptr;
  CHECK(cuModuleGetFunction(&function, kernels.module, "nothing") == CUDA_ERROR_NOT_FOUND);
  last_message_has("`nothing`");
  CHECK(cuModuleGetFunction(&function, kernels.module, nullptr) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuModuleGetFunction(&function, nullptr, "adds") == CUDA_ERROR_INVALID_HANDLE);
  CHECK(kernels.function("adds") == kernels.function("adds"));
  CUdeviceptr address = 0;
  std::size_t bytes = 0;
  CHECK(cuModuleGetGlobal_v2(&address, &bytes, kernels.module, "counters") == CUDA_SUCCESS);
  CHECK(bytes == 12);
  std::array<unsigned, 3> values = {};
  CHECK(cuMemcpyDtoH_v2(values.data(), address, 12) == CUDA_SUCCESS);
  CHECK(values == std::array<unsigned, 3>{7, 8, 9});
  CHECK(cuModuleGetGlobal_v2(&address, nullptr, kernels.module, "counters") == CUDA_SUCCESS);
  CHECK(cuModuleGetGlobal_v2(nullptr, nullptr, kernels.module, "counters") ==
        CUDA_ERROR_INVALID_VALUE);
  CHECK(cuModuleGetGlobal_v2(&address, &bytes, kernels.module, "adds") == CUDA_ERROR_NOT_FOUND);

  function = kernels.function("adds");
  CHECK(cuModuleUnload(kernels.module) == CUDA_SUCCESS);
  CHECK(cuModuleUnload(kernels.module) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuFuncGetAttribute(nullptr, CU_FUNC_ATTRIBUTE_NUM_REGS, function) ==
        CUDA_ERROR_INVALID_VALUE);
  int value = 0;
  CHECK(cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_NUM_REGS, function) ==
        CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr) ==
        CUDA_ERROR_INVALID_HANDLE);
}

TEST_CASE("attributes of a function") {
  LoadedKernels kernels;
  const CUfunction limited = kernels.function("limited");
  const auto get = [&](CUfunction_attribute attribute) {
    int value = -1;
    CHECK(cuFuncGetAttribute(&value, attribute, limited) == CUDA_SUCCESS);
    return value;
  };
  CHECK(get(CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK) == 256);
  CHECK(get(CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES) == 1024);
  CHECK(get(CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES) == 0);
  CHECK(get(CU_FUNC_ATTRIBUTE_NUM_REGS) >= 1);
  CHECK(get(CU_FUNC_ATTRIBUTE_PTX_VERSION) == 90);
  CHECK(get(CU_FUNC_ATTRIBUTE_BINARY_VERSION) == 90);
  CHECK(get(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) == 49152 - 1024);
  int value = 0;
  CHECK(cuFuncGetAttribute(&value, static_cast<CUfunction_attribute>(99), limited) ==
        CUDA_ERROR_INVALID_VALUE);
  const auto set = [&](int bytes) {
    return cuFuncSetAttribute(limited, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, bytes);
  };
  CHECK(set(-1) == CUDA_ERROR_INVALID_VALUE);
  CHECK(set(232448) == CUDA_ERROR_INVALID_VALUE);
  CHECK(set(232448 - 1024) == CUDA_SUCCESS);
  CHECK(get(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) == 232448 - 1024);
  CHECK(cuFuncSetAttribute(limited, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 5) ==
        CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("blocks that fit a multiprocessor") {
  LoadedKernels kernels;
  const auto blocks = [&](int threads, std::size_t shared_bytes) {
    int value = -1;
    CHECK(cuOccupancyMaxActiveBlocksPerMultiprocessor(&value, kernels.function("limited"), threads,
                                                      shared_bytes) == CUDA_SUCCESS);
    return value;
  };
  CHECK(blocks(256, 0) == 8);
  CHECK(blocks(257, 0) == 7);
  CHECK(blocks(32, 0) == 32);
  CHECK(blocks(32, 48128) == 4);  // 228 KB over 48 KB and the kilobyte that each block costs
  CHECK(blocks(32, 60000) == 0);
  CHECK(cuFuncSetAttribute(kernels.function("limited"),
                           CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                           200000) == CUDA_SUCCESS);
  CHECK(blocks(32, 200000) == 1);
  int value = 0;
  CHECK(cuOccupancyMaxActiveBlocksPerMultiprocessor(&value, kernels.function("limited"), 0, 0) ==
        CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("a launch computes, with parameters given either way") {
  LoadedKernels kernels;
  CUdeviceptr address = 0;
  REQUIRE(cuMemAlloc_v2(&address, 64 * 4) == CUDA_SUCCESS);
  unsigned n = 100;
  void* params[] = {&address, &n};
  std::vector<unsigned> result(64);
  CHECK(kernels.launch("adds", params) == CUDA_SUCCESS);
  CHECK(cuMemcpyDtoH_v2(result.data(), address, 64 * 4) == CUDA_SUCCESS);
  for (unsigned i = 0; i < 64; ++i) CHECK(result[i] == i + 100);

  std::array<std::byte, 16> buffer = {};
  n = 200;
  std::memcpy(buffer.data(), &address, 8);
  std::memcpy(buffer.data() + 8, &n, 4);
  std::size_t size = 12;
  void* const pointer_key = reinterpret_cast<void*>(1);
  void* const size_key = reinterpret_cast<void*>(2);
  void* extra[] = {pointer_key, buffer.data(), size_key, &size, nullptr, nullptr, nullptr};
  const auto launch_extra = [&](void** both = nullptr) {
    return cuLaunchKernel(kernels.function("adds"), 1, 1, 1, 64, 1, 1, 0, nullptr, both, extra);
  };
  CHECK(launch_extra() == CUDA_SUCCESS);
  CHECK(cuMemcpyDtoH_v2(result.data(), address, 64 * 4) == CUDA_SUCCESS);
  for (unsigned i = 0; i < 64; ++i) CHECK(result[i] == i + 200);
  CHECK(launch_extra(params) == CUDA_ERROR_INVALID_VALUE);
  size = 20;
  CHECK(launch_extra() == CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
  size = 8;  // a GPU's driver reads on past the buffer
  CHECK(launch_extra() == CUDA_ERROR_INVALID_VALUE);
  size = 12;
  extra[4] = size_key;
  extra[5] = &size;
  extra[6] = pointer_key;
  CHECK(launch_extra() == CUDA_ERROR_INVALID_VALUE);
  extra[0] = reinterpret_cast<void*>(9);
  CHECK(launch_extra() == CUDA_ERROR_INVALID_VALUE);
  extra[0] = nullptr;
  CHECK(launch_extra() == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("launches that are refused leave the context sound") {
  LoadedKernels kernels;
  const auto launch = [&](Dim3 grid, Dim3 block, unsigned shared_bytes, CUstream stream = nullptr) {
    return cuLaunchKernel(kernels.function("limited"), grid.x, grid.y, grid.z, block.x, block.y,
                          block.z, shared_bytes, stream, nullptr, nullptr);
  };
  CHECK(launch({1, 1, 1}, {256, 1, 1}, 48128) == CUDA_SUCCESS);
  CHECK(launch({0, 1, 1}, {1, 1, 1}, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK(launch({1, 1, 1}, {1, 0, 1}, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK(launch({1, 65536, 1}, {1, 1, 1}, 0) == CUDA_ERROR_INVALID_VALUE);
  last_message_has("cuLaunchKernel: grid y 65536: expected 1 to 65535");
  CHECK(launch({1, 1, 1}, {1, 1, 65}, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK(launch({1, 1, 1}, {257, 1, 1}, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK(launch({1, 1, 1}, {1024, 1024, 64}, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK(launch({1, 1, 1}, {32, 1, 1}, 48129) == CUDA_ERROR_INVALID_VALUE);
  last_message_has("cuFuncSetAttribute");
  CHECK(launch({1, 1, 1}, {1, 1, 1}, 0, reinterpret_cast<CUstream>(0x100)) ==
        CUDA_ERROR_INVALID_HANDLE);
  CHECK(kernels.launch("adds") == CUDA_ERROR_INVALID_VALUE);
  unsigned n = 1;
  void* params[] = {nullptr, &n};
  CHECK(kernels.launch("adds", params) == CUDA_ERROR_INVALID_VALUE);
  last_message_has("params[0]");
  CHECK(launch({1, 1, 1}, {256, 1, 1}, 0) == CUDA_SUCCESS);
}

TEST_CASE("after a fault nothing works in the context, and a new one is sound") {
  for (const auto& [kernel, code] : {std::pair{"traps", CUDA_ERROR_LAUNCH_FAILED},
                                     std::pair{"strays", CUDA_ERROR_ILLEGAL_ADDRESS}}) {
    CAPTURE(std::string(kernel));
    LoadedKernels kernels;
    CUevent event = nullptr;
    REQUIRE(cuEventCreate(&event, 0) == CUDA_SUCCESS);
    CHECK(kernels.launch(kernel) == code);
    last_message_has("cuLaunchKernel: ");
    last_message_has(kernel);
    CHECK(last_message().find('\n') == std::string::npos);
    CUdeviceptr address = 0;
    CUstream stream = nullptr;
    CUfunction function = nullptr;
    CUmodule module = nullptr;
    std::size_t free = 0;
    CHECK(cuCtxSynchronize() == code);
    last_message_has("cuCtxSynchronize: an earlier launch failed: ");
    CHECK(cuMemAlloc_v2(&address, 8) == code);
    CHECK(cuMemFree_v2(0) == code);
    CHECK(cuMemGetInfo_v2(&free, &free) == code);
    CHECK(cuStreamCreate(&stream, 0) == code);
    CHECK(cuStreamSynchronize(nullptr) == code);
    CHECK(cuEventRecord(event, nullptr) == code);
    CHECK(cuEventDestroy_v2(event) == code);
    CHECK(cuModuleLoadData(&module, kKernels) == code);
    CHECK(cuModuleGetFunction(&function, kernels.module, "adds") == code);
    CHECK(cuModuleUnload(kernels.module) == code);
    // What belongs to no context still answers.
    int value = 0;
    CHECK(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 0) == CUDA_SUCCESS);
    CUcontext current = nullptr;
    CHECK(cuCtxGetCurrent(&current) == CUDA_SUCCESS);
  }
  LoadedKernels kernels;
  CHECK(kernels.launch("limited") == CUDA_SUCCESS);
  CHECK(cuCtxSynchronize() == CUDA_SUCCESS);
}

}  // namespace
}  // namespace octavo::emulator
