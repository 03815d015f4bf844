// Contexts, memory, streams and events: what they do and what they refuse. Codes are those that an
// H200's driver gives for the same calls, but where a comment says otherwise.
#include <chrono>
#include <thread>
#include <vector>

#include "fixture.hpp"

namespace octavo::emulator {
namespace {

TEST_CASE("work needs a current context, in each thread") {
  REQUIRE(cuInit(0) == CUDA_SUCCESS);
  CUdeviceptr address = 0;
  CHECK(cuMemAlloc_v2(&address, 16) == CUDA_ERROR_INVALID_CONTEXT);
  CHECK(cuCtxSynchronize() == CUDA_ERROR_INVALID_CONTEXT);
  CHECK(cuDevicePrimaryCtxRelease_v2(0) == CUDA_ERROR_INVALID_CONTEXT);
  CHECK(cuDevicePrimaryCtxRetain(nullptr, 0) == CUDA_ERROR_INVALID_VALUE);
  {
    const CurrentContext context;
    CHECK(cuCtxSynchronize() == CUDA_SUCCESS);
    CUresult other = CUDA_SUCCESS;
    std::thread([&] { other = cuCtxSynchronize(); }).join();
    CHECK(other == CUDA_ERROR_INVALID_CONTEXT);
    CUcontext again = nullptr;
    CHECK(cuDevicePrimaryCtxRetain(&again, 0) == CUDA_SUCCESS);
    CHECK(again == context.context);
    CHECK(cuDevicePrimaryCtxRelease_v2(0) == CUDA_SUCCESS);
    CHECK(cuCtxSynchronize() == CUDA_SUCCESS);
    // The driver would touch what this points to.
    CHECK(cuCtxSetCurrent(reinterpret_cast<CUcontext>(0x1234)) == CUDA_ERROR_INVALID_CONTEXT);
    CHECK(cuDevicePrimaryCtxRelease_v2(0) == CUDA_SUCCESS);
    CHECK(cuCtxSynchronize() == CUDA_ERROR_CONTEXT_IS_DESTROYED);
    CUcontext current = nullptr;
    CHECK(cuCtxGetCurrent(&current) == CUDA_SUCCESS);
    CHECK(current == context.context);
  }
}

TEST_CASE("memory: allocation") {
  const CurrentContext context;
  CUdeviceptr a = 0, b = 0;
  CHECK(cuMemAlloc_v2(&a, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemAlloc_v2(nullptr, 16) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemAlloc_v2(&a, std::size_t{1} << 50) == CUDA_ERROR_OUT_OF_MEMORY);
  REQUIRE(cuMemAlloc_v2(&a, 1000) == CUDA_SUCCESS);
  REQUIRE(cuMemAlloc_v2(&b, 1000) == CUDA_SUCCESS);
  CHECK(a % 256 == 0);
  std::size_t free = 0, total = 0;
  CHECK(cuMemGetInfo_v2(&free, &total) == CUDA_SUCCESS);
  CHECK(total - free >= 2000);
  CHECK(cuMemGetInfo_v2(nullptr, &total) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemFree_v2(a + 8) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemFree_v2(a) == CUDA_SUCCESS);
  CHECK(cuMemFree_v2(a) == CUDA_ERROR_INVALID_VALUE);
  last_message_has("freed already");
  CHECK(cuMemFree_v2(0) == CUDA_SUCCESS);
  CHECK(cuMemFree_v2(b) == CUDA_SUCCESS);
}

TEST_CASE("memory: copies and fills stay inside one allocation") {
  const CurrentContext context;
  CUdeviceptr a = 0, b = 0;
  REQUIRE(cuMemAlloc_v2(&a, 64) == CUDA_SUCCESS);
  REQUIRE(cuMemAlloc_v2(&b, 64) == CUDA_SUCCESS);
  std::vector<unsigned> host(32, 5), back(32, 0);
  CHECK(cuMemcpyHtoD_v2(a, host.data(), 64) == CUDA_SUCCESS);
  CHECK(cuMemsetD32_v2(a + 4, 0xABCD, 2) == CUDA_SUCCESS);
  CHECK(cuMemsetD8_v2(a + 12, 1, 4) == CUDA_SUCCESS);
  CHECK(cuMemcpyDtoD_v2(b, a, 64) == CUDA_SUCCESS);
  CHECK(cuMemcpyDtoH_v2(back.data(), b, 64) == CUDA_SUCCESS);
  CHECK(back[0] == 5);
  CHECK(back[1] == 0xABCD);
  CHECK(back[2] == 0xABCD);
  CHECK(back[3] == 0x01010101);
  CHECK(back[15] == 5);
  CHECK(back[16] == 0);

  CHECK(cuMemcpyHtoD_v2(a, host.data(), 65) == CUDA_ERROR_INVALID_VALUE);
  last_message_has("cuMemcpyHtoD: to: 65 bytes at 0x");
  last_message_has("across the end of a 64-byte allocation");
  CHECK(cuMemcpyHtoD_v2(a + 60, host.data(), 8) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemcpyDtoH_v2(back.data(), b + 64, 1) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemcpyDtoH_v2(nullptr, b, 1) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemcpyHtoD_v2(a, nullptr, 4) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemcpyHtoD_v2(a, nullptr, 0) == CUDA_SUCCESS);
  CHECK(cuMemcpyHtoD_v2(a, host.data(), ~std::size_t{0}) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemcpyDtoD_v2(0x10, a, 4) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemsetD8_v2(a, 0, 65) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemsetD32_v2(a + 1, 0, 1) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemsetD32_v2(a, 0, (std::size_t{1} << 62) + 1) == CUDA_ERROR_INVALID_VALUE);
  // A GPU copies something here, which nobody can rely on; and takes device memory for the host's
  // only where it can tell.
  CHECK(cuMemcpyDtoD_v2(a, a + 4, 16) == CUDA_ERROR_INVALID_VALUE);
  last_message_has("overlap");
  CHECK(cuMemcpyDtoD_v2(a, a + 16, 16) == CUDA_SUCCESS);
  CHECK(cuMemcpyHtoD_v2(a, reinterpret_cast<const void*>(b), 4) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemFree_v2(a) == CUDA_SUCCESS);
  CHECK(cuMemcpyHtoD_v2(a, host.data(), 4) == CUDA_ERROR_INVALID_VALUE);
  last_message_has("freed");
}

TEST_CASE("streams are there or not") {
  const CurrentContext context;
  CUstream stream = nullptr;
  CUdeviceptr a = 0;
  REQUIRE(cuMemAlloc_v2(&a, 64) == CUDA_SUCCESS);
  CHECK(cuStreamCreate(&stream, 2) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuStreamCreate(nullptr, 0) == CUDA_ERROR_INVALID_VALUE);
  REQUIRE(cuStreamCreate(&stream, 1) == CUDA_SUCCESS);
  int value = 0;
  CHECK(cuMemsetD8Async(a, 7, 64, stream) == CUDA_SUCCESS);
  CHECK(cuMemsetD32Async(a, 7, 16, stream) == CUDA_SUCCESS);
  CHECK(cuMemcpyDtoHAsync_v2(&value, a, 4, stream) == CUDA_SUCCESS);
  CHECK(cuStreamSynchronize(stream) == CUDA_SUCCESS);
  CHECK(value == 7);
  value = 3;
  CHECK(cuMemcpyHtoDAsync_v2(a, &value, 4, nullptr) == CUDA_SUCCESS);
  CHECK(cuMemcpyDtoDAsync_v2(a + 4, a, 4, reinterpret_cast<CUstream>(2)) == CUDA_SUCCESS);
  CHECK(cuStreamDestroy_v2(stream) == CUDA_SUCCESS);
  CHECK(cuStreamDestroy_v2(stream) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuStreamDestroy_v2(nullptr) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuStreamSynchronize(stream) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuMemsetD8Async(a, 7, 64, stream) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuStreamSynchronize(reinterpret_cast<CUstream>(&value)) == CUDA_ERROR_INVALID_HANDLE);
  CUstream next = nullptr;
  CHECK(cuStreamCreate(&next, 0) == CUDA_SUCCESS);
  CHECK(next != stream);
}

TEST_CASE("events hold the time at which they were recorded") {
  const CurrentContext context;
  CUevent start = nullptr, end = nullptr, timeless = nullptr;
  float milliseconds = -1;
  CHECK(cuEventCreate(&start, 8) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuEventCreate(&start, 4) == CUDA_ERROR_INVALID_VALUE);
  REQUIRE(cuEventCreate(&start, 0) == CUDA_SUCCESS);
  REQUIRE(cuEventCreate(&end, 1) == CUDA_SUCCESS);
  REQUIRE(cuEventCreate(&timeless, 2) == CUDA_SUCCESS);
  CHECK(cuEventElapsedTime(&milliseconds, start, start) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuEventSynchronize(start) == CUDA_SUCCESS);
  const auto before = std::chrono::steady_clock::now();
  CHECK(cuEventRecord(start, nullptr) == CUDA_SUCCESS);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(cuEventRecord(end, nullptr) == CUDA_SUCCESS);
  const std::chrono::duration<float, std::milli> around = std::chrono::steady_clock::now() - before;
  CHECK(cuEventElapsedTime(&milliseconds, start, end) == CUDA_SUCCESS);
  CHECK(milliseconds >= 20);
  CHECK(milliseconds <= around.count());
  CHECK(cuEventElapsedTime(&milliseconds, end, start) == CUDA_SUCCESS);
  CHECK(milliseconds <= -20);
  CHECK(cuEventRecord(timeless, nullptr) == CUDA_SUCCESS);
  CHECK(cuEventElapsedTime(&milliseconds, start, timeless) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuStreamWaitEvent(nullptr, end, 0) == CUDA_SUCCESS);
  CHECK(cuStreamWaitEvent(nullptr, end, 2) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuEventRecord(nullptr, nullptr) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuEventDestroy_v2(end) == CUDA_SUCCESS);
  CHECK(cuEventDestroy_v2(end) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuStreamWaitEvent(nullptr, end, 0) == CUDA_ERROR_INVALID_HANDLE);
  // A handle of one kind is none of another.
  CHECK(cuStreamDestroy_v2(reinterpret_cast<CUstream>(start)) == CUDA_ERROR_INVALID_HANDLE);
}

TEST_CASE("threads share a context") {
  const CurrentContext context;
  std::atomic<int> failures = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      cuCtxSetCurrent(context.context);
      for (int i = 0; i < 100; ++i) {
        CUdeviceptr a = 0;
        CUstream stream = nullptr;
        CUevent event = nullptr;
        std::vector<int> host(50, t * 1000 + i), back(50, 0);
        failures += cuMemAlloc_v2(&a, 200) != 0;
        failures += cuStreamCreate(&stream, 0) != 0;
        failures += cuEventCreate(&event, 0) != 0;
        failures += cuMemcpyHtoDAsync_v2(a, host.data(), 200, stream) != 0;
        failures += cuEventRecord(event, stream) != 0;
        failures += cuMemcpyDtoHAsync_v2(back.data(), a, 200, stream) != 0;
        failures += host != back;
        failures += cuEventDestroy_v2(event) != 0;
        failures += cuStreamDestroy_v2(stream) != 0;
        failures += cuMemFree_v2(a) != 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(failures == 0);
}

}  // namespace
}  // namespace octavo::emulator
