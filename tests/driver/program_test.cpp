// What a program of the Driver API calls around its launches: look-up, libraries, contexts,
// streams.
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "fixture.hpp"

using namespace octavo::emulator;

TEST_CASE("calls are found by name, in the form that the program's CUDA has") {
  REQUIRE(cuInit(0) == CUDA_SUCCESS);
  const auto find = [](const char* name, int version) {
    void* function = nullptr;
    CUdriverProcAddressQueryResult status{};
    const CUresult result = cuGetProcAddress_v2(name, &function, version, 0, &status);
    CHECK((result == CUDA_SUCCESS) == (status == CU_GET_PROC_ADDRESS_SUCCESS));
    CHECK((result == CUDA_SUCCESS) == (function != nullptr));
    return function;
  };
  CHECK(find("cuMemAlloc", 12000) == reinterpret_cast<void*>(&cuMemAlloc_v2));
  CHECK(find("cuLaunchKernelEx", 12000) == reinterpret_cast<void*>(&cuLaunchKernelEx));
  CHECK(find("cuCtxCreate", 11000) == reinterpret_cast<void*>(&cuCtxCreate_v2));
  CHECK(find("cuCtxCreate", 12000) == reinterpret_cast<void*>(&cuCtxCreate_v3));
  CHECK(find("cuCtxCreate", 13000) == reinterpret_cast<void*>(&cuCtxCreate_v4));
  CHECK(find("cuGetProcAddress", 11000) == reinterpret_cast<void*>(&cuGetProcAddress));
  CHECK(find("cuGetProcAddress", 12000) == reinterpret_cast<void*>(&cuGetProcAddress_v2));
  CHECK(find("octavoEmulatorLastFault", 12000) != nullptr);
  CHECK(find("cuTexRefCreate", 12000) == nullptr);
  CHECK(last_message_has("cuTexRefCreate"));
  CHECK(cuGetProcAddress_v2(nullptr, nullptr, 12000, 0, nullptr) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE_FIXTURE(CurrentContext, "a module's logs say what was wrong with it") {
  const ScratchCache cache;
  char info[64] = "?", error[256] = "?";
  CUjit_option options[] = {CU_JIT_INFO_LOG_BUFFER, CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES,
                            CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
                            CU_JIT_WALL_TIME};
  const auto load = [&](const char* ptx) {
    void* values[] = {info, reinterpret_cast<void*>(sizeof info), error,
                      reinterpret_cast<void*>(sizeof error), nullptr};
    CUmodule module = nullptr;
    const CUresult result = cuModuleLoadDataEx(&module, ptx, 5, options, values);
    CHECK(reinterpret_cast<std::size_t>(values[1]) == 0);
    CHECK(reinterpret_cast<std::size_t>(values[3]) == std::strlen(error));
    if (module != nullptr) CHECK(cuModuleUnload(module) == CUDA_SUCCESS);
    return result;
  };
  CHECK(load(kKernels) == CUDA_SUCCESS);
  CHECK(std::string(error).empty());
  CHECK(load(".version 8.0\n.target sm_90\n.address_size 64\n.entry k() { frob; }\n") !=
        CUDA_SUCCESS);
  CHECK(std::string(error).find("line 4: frob") != std::string::npos);
  CHECK(std::string(info).empty());
}

TEST_CASE_FIXTURE(CurrentContext, "a module comes from a file") {
  const ScratchCache cache;
  const std::string path = "/tmp/octavo_module_" + std::to_string(getpid()) + ".ptx";
  std::FILE* file = std::fopen(path.c_str(), "w");
  REQUIRE(file != nullptr);
  std::fputs(kKernels, file);
  std::fclose(file);
  CUmodule module = nullptr;
  CHECK(cuModuleLoad(&module, path.c_str()) == CUDA_SUCCESS);
  CHECK(cuModuleUnload(module) == CUDA_SUCCESS);
  std::remove(path.c_str());
  CHECK(cuModuleLoad(&module, path.c_str()) == CUDA_ERROR_FILE_NOT_FOUND);
}

TEST_CASE_FIXTURE(CurrentContext, "a library's kernels are functions like a module's") {
  const ScratchCache cache;
  CUlibrary library = nullptr;
  REQUIRE(cuLibraryLoadData(&library, kKernels, nullptr, nullptr, 0, nullptr, nullptr, 0) ==
          CUDA_SUCCESS);
  CUkernel kernel = nullptr, again = nullptr;
  CHECK(cuLibraryGetKernel(&kernel, library, "limited") == CUDA_SUCCESS);
  CHECK(cuLibraryGetKernel(&again, library, "limited") == CUDA_SUCCESS);
  CHECK(kernel == again);
  CHECK(cuLibraryGetKernel(&again, library, "absent") == CUDA_ERROR_NOT_FOUND);
  CUfunction function = nullptr;
  CHECK(cuKernelGetFunction(&function, kernel) == CUDA_SUCCESS);
  const char* name = nullptr;
  CHECK(cuFuncGetName(&name, function) == CUDA_SUCCESS);
  CHECK(std::string(name) == "limited");
  CUmodule module = nullptr, of_function = nullptr;
  CHECK(cuLibraryGetModule(&module, library) == CUDA_SUCCESS);
  CHECK(cuFuncGetModule(&of_function, function) == CUDA_SUCCESS);
  CHECK(module == of_function);
  int value = 0;
  CHECK(cuKernelGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, kernel, 0) ==
        CUDA_SUCCESS);
  CHECK(value == 256);
  CHECK(cuKernelSetAttribute(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 65536, kernel, 0) ==
        CUDA_SUCCESS);
  CHECK(cuLaunchKernel(function, 1, 1, 1, 32, 1, 1, 65536, nullptr, nullptr, nullptr) ==
        CUDA_SUCCESS);
  CUdeviceptr counters = 0;
  std::size_t bytes = 0;
  CHECK(cuLibraryGetGlobal(&counters, &bytes, library, "counters") == CUDA_SUCCESS);
  CHECK(bytes == 12);
  CHECK(cuLibraryUnload(library) == CUDA_SUCCESS);
  CHECK(cuKernelGetFunction(&function, kernel) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuLibraryUnload(library) == CUDA_ERROR_INVALID_HANDLE);
}

TEST_CASE("contexts of one's own, on the thread's stack") {
  REQUIRE(cuInit(0) == CUDA_SUCCESS);
  CUcontext first = nullptr, second = nullptr, found = nullptr;
  CHECK(cuCtxCreate_v2(&first, 0, 0) == CUDA_SUCCESS);
  CHECK(cuCtxCreate_v4(&second, nullptr, 0, 0) == CUDA_SUCCESS);
  CHECK(cuCtxGetCurrent(&found) == CUDA_SUCCESS);
  CHECK(found == second);
  CUdeviceptr of_second = 0;
  CHECK(cuMemAlloc_v2(&of_second, 64) == CUDA_SUCCESS);
  CHECK(cuCtxPopCurrent_v2(&found) == CUDA_SUCCESS);
  CHECK(found == second);
  CHECK(cuMemFree_v2(of_second) == CUDA_ERROR_INVALID_VALUE);  // first is current now
  CHECK(cuCtxPushCurrent_v2(second) == CUDA_SUCCESS);
  CHECK(cuMemFree_v2(of_second) == CUDA_SUCCESS);
  CUdevice device = 7;
  CHECK(cuCtxGetDevice(&device) == CUDA_SUCCESS);
  CHECK(device == 0);
  unsigned version = 0;
  CHECK(cuCtxGetApiVersion(first, &version) == CUDA_SUCCESS);
  CHECK(cuCtxDestroy_v2(second) == CUDA_SUCCESS);
  CHECK(cuCtxGetCurrent(&found) == CUDA_SUCCESS);
  CHECK(found == first);
  CHECK(cuCtxDestroy_v2(second) == CUDA_ERROR_INVALID_CONTEXT);
  CHECK(cuCtxPushCurrent_v2(second) == CUDA_ERROR_INVALID_CONTEXT);
  CHECK(cuCtxDestroy_v2(first) == CUDA_SUCCESS);
  CHECK(cuCtxPopCurrent_v2(&found) == CUDA_ERROR_INVALID_CONTEXT);
  CHECK(cuCtxGetDevice(&device) == CUDA_ERROR_INVALID_CONTEXT);
  CHECK(cuCtxCreate_v2(&first, 0, 1) == CUDA_ERROR_INVALID_DEVICE);
}

TEST_CASE_FIXTURE(CurrentContext, "streams have priorities and run what they are given") {
  int least = 7, greatest = 7, priority = 7;
  CHECK(cuCtxGetStreamPriorityRange(&least, &greatest) == CUDA_SUCCESS);
  CHECK(least == 0);
  CHECK(greatest < 0);
  CUstream stream = nullptr;
  CHECK(cuStreamCreateWithPriority(&stream, 1, greatest - 10) == CUDA_SUCCESS);
  CHECK(cuStreamGetPriority(stream, &priority) == CUDA_SUCCESS);
  CHECK(priority == greatest);
  unsigned flags = 0;
  CHECK(cuStreamGetFlags(stream, &flags) == CUDA_SUCCESS);
  CHECK(flags == 1);
  CHECK(cuStreamQuery(stream) == CUDA_SUCCESS);
  CUcontext of = nullptr;
  CHECK(cuStreamGetCtx(stream, &of) == CUDA_SUCCESS);
  CHECK(of == context);
  int calls = 0;
  CHECK(cuLaunchHostFunc(
            stream, [](void* data) { ++*static_cast<int*>(data); }, &calls) == CUDA_SUCCESS);
  CHECK(cuStreamAddCallback(
            stream,
            [](CUstream, CUresult status, void* data) {
              *static_cast<int*>(data) += status == CUDA_SUCCESS ? 10 : 1000;
            },
            &calls, 0) == CUDA_SUCCESS);
  CHECK(calls == 11);
  CHECK(cuLaunchHostFunc(stream, nullptr, nullptr) == CUDA_ERROR_INVALID_VALUE);
  CUevent event = nullptr;
  CHECK(cuEventCreate(&event, 0) == CUDA_SUCCESS);
  CHECK(cuEventRecordWithFlags(event, stream, 0) == CUDA_SUCCESS);
  CHECK(cuEventQuery(event) == CUDA_SUCCESS);
  CHECK(cuEventDestroy_v2(event) == CUDA_SUCCESS);
  CHECK(cuEventQuery(event) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuStreamDestroy_v2(stream) == CUDA_SUCCESS);
  CHECK(cuStreamQuery(stream) == CUDA_ERROR_INVALID_HANDLE);
}

TEST_CASE("a device has a name of its own and a capability") {
  REQUIRE(cuInit(0) == CUDA_SUCCESS);
  CUuuid uuid{}, again{};
  CHECK(cuDeviceGetUuid(&uuid, 0) == CUDA_SUCCESS);
  CHECK(cuDeviceGetUuid_v2(&again, 0) == CUDA_SUCCESS);
  CHECK(std::memcmp(&uuid, &again, sizeof uuid) == 0);
  int major = 0, minor = 7;
  CHECK(cuDeviceComputeCapability(&major, &minor, 0) == CUDA_SUCCESS);
  CHECK(major == 9);
  CHECK(minor == 0);
  char id[16] = {};
  CHECK(cuDeviceGetPCIBusId(id, sizeof id, 0) == CUDA_SUCCESS);
  CHECK(std::strlen(id) == 12);
  CHECK(cuDeviceGetPCIBusId(id, 4, 0) == CUDA_ERROR_INVALID_VALUE);
  CUmemoryPool pool = nullptr;
  CHECK(cuDeviceGetDefaultMemPool(&pool, 0) == CUDA_SUCCESS);
  CHECK(cuMemPoolTrimTo(pool, 0) == CUDA_SUCCESS);
  CHECK(cuMemPoolTrimTo(nullptr, 0) == CUDA_ERROR_INVALID_VALUE);
}
