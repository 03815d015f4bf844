// Pinned and pooled memory, what an address is, and rectangles.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "fixture.hpp"

using namespace octavo::emulator;

TEST_CASE_FIXTURE(LoadedKernels, "pinned host memory is the host's and the device's") {
  void* host = nullptr;
  REQUIRE(cuMemAllocHost_v2(&host, 256) == CUDA_SUCCESS);
  auto* values = static_cast<unsigned*>(host);
  CUdeviceptr address = 0;
  CHECK(cuMemHostGetDevicePointer_v2(&address, host, 0) == CUDA_SUCCESS);
  unsigned n = 5;
  void* params[] = {&address, &n};
  CHECK(launch("adds", params) == CUDA_SUCCESS);
  for (unsigned t = 0; t < 64; ++t) CHECK(values[t] == t + 5);

  CUdeviceptr device = 0;
  REQUIRE(cuMemAlloc_v2(&device, 256) == CUDA_SUCCESS);
  CHECK(cuMemcpyHtoD_v2(device, host, 256) == CUDA_SUCCESS);
  std::fill_n(values, 64, 0u);
  CHECK(cuMemcpyDtoH_v2(host, device, 256) == CUDA_SUCCESS);
  CHECK(values[63] == 68);
  unsigned here[64] = {};
  CHECK(cuMemcpy(reinterpret_cast<CUdeviceptr>(here), device, 256) == CUDA_SUCCESS);
  CHECK(here[7] == 12);
  CHECK(cuMemcpy(device, reinterpret_cast<CUdeviceptr>(here), 257) == CUDA_ERROR_INVALID_VALUE);

  CHECK(cuMemFreeHost(reinterpret_cast<void*>(device)) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemFreeHost(host) == CUDA_SUCCESS);
  CHECK(cuMemFreeHost(host) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemHostAlloc(&host, 16, 8) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemFree_v2(device) == CUDA_SUCCESS);
}

TEST_CASE_FIXTURE(CurrentContext, "what an address is") {
  CUdeviceptr device = 0;
  void* host = nullptr;
  REQUIRE(cuMemAllocAsync(&device, 1000, nullptr) == CUDA_SUCCESS);
  REQUIRE(cuMemHostAlloc(&host, 64, 3) == CUDA_SUCCESS);
  unsigned type = 0;
  CHECK(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, device + 999) ==
        CUDA_SUCCESS);
  CHECK(type == CU_MEMORYTYPE_DEVICE);
  const auto pinned = reinterpret_cast<CUdeviceptr>(host);
  CHECK(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, pinned) == CUDA_SUCCESS);
  CHECK(type == CU_MEMORYTYPE_HOST);
  int local = 0;
  CHECK(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
                              reinterpret_cast<CUdeviceptr>(&local)) == CUDA_ERROR_INVALID_VALUE);
  void* pointer = nullptr;
  CHECK(cuPointerGetAttribute(&pointer, CU_POINTER_ATTRIBUTE_HOST_POINTER, device) ==
        CUDA_ERROR_INVALID_VALUE);
  CUdeviceptr begin = 1;
  std::size_t bytes = 1;
  CUcontext of = nullptr;
  CUpointer_attribute which[] = {CU_POINTER_ATTRIBUTE_RANGE_START_ADDR,
                                 CU_POINTER_ATTRIBUTE_RANGE_SIZE, CU_POINTER_ATTRIBUTE_CONTEXT};
  void* places[] = {&begin, &bytes, &of};
  CHECK(cuPointerGetAttributes(3, which, places, device + 17) == CUDA_SUCCESS);
  CHECK(begin == device);
  CHECK(bytes == 1000);
  CHECK(of == context);
  CHECK(cuPointerGetAttributes(3, which, places, reinterpret_cast<CUdeviceptr>(&local)) ==
        CUDA_SUCCESS);
  CHECK(bytes == 0);
  CHECK(cuMemGetAddressRange_v2(&begin, &bytes, device + 5) == CUDA_SUCCESS);
  CHECK(begin == device);
  CHECK(cuMemGetAddressRange_v2(&begin, &bytes, device + 1000) == CUDA_ERROR_NOT_FOUND);
  CHECK(cuMemFreeAsync(device, nullptr) == CUDA_SUCCESS);
  CHECK(cuMemFreeAsync(device, nullptr) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemFreeHost(host) == CUDA_SUCCESS);
}

TEST_CASE_FIXTURE(CurrentContext, "rectangles are copied and filled, row by row") {
  CUdeviceptr device = 0;
  std::size_t pitch = 0;
  REQUIRE(cuMemAllocPitch_v2(&device, &pitch, 40, 8, 4) == CUDA_SUCCESS);
  CHECK(pitch == 512);
  CHECK(cuMemsetD2D8_v2(device, pitch, 9, 40, 8) == CUDA_SUCCESS);
  CHECK(cuMemsetD2D16_v2(device + 2, pitch, 0x1234, 3, 2) == CUDA_SUCCESS);
  CHECK(cuMemsetD2D32_v2(device + pitch + 8, pitch, 0xAABBCCDD, 1, 1) == CUDA_SUCCESS);
  std::vector<std::uint8_t> host(20 * 5, 0);
  CUDA_MEMCPY2D copy{};
  copy.srcMemoryType = CU_MEMORYTYPE_DEVICE;
  copy.srcDevice = device;
  copy.srcPitch = pitch;
  copy.dstMemoryType = CU_MEMORYTYPE_HOST;
  copy.dstHost = host.data();
  copy.dstPitch = 20;
  copy.dstXInBytes = 3;
  copy.dstY = 1;
  copy.WidthInBytes = 16;
  copy.Height = 3;
  CHECK(cuMemcpy2D_v2(&copy) == CUDA_SUCCESS);
  for (std::size_t y = 0; y < 5; ++y) {
    for (std::size_t x = 0; x < 20; ++x) {
      std::uint8_t expected = 0;
      if (y >= 1 && y < 4 && x >= 3 && x < 19) {
        const std::size_t row = y - 1, column = x - 3;
        expected = 9;
        if (row < 2 && column >= 2 && column < 8) expected = column % 2 == 0 ? 0x34 : 0x12;
        if (row == 1 && column >= 8 && column < 12) {
          expected = static_cast<std::uint8_t>(0xAABBCCDDu >> (8 * (column - 8)));
        }
      }
      CHECK(host[y * 20 + x] == expected);
    }
  }
  copy.WidthInBytes = 18;  // beyond the host's rows
  CHECK(cuMemcpy2D_v2(&copy) == CUDA_ERROR_INVALID_VALUE);
  copy.WidthInBytes = 16;
  copy.srcY = 6;  // beyond the allocation
  CHECK(cuMemcpy2DUnaligned_v2(&copy) == CUDA_ERROR_INVALID_VALUE);
  copy.srcMemoryType = CU_MEMORYTYPE_ARRAY;
  CHECK(cuMemcpy2DAsync_v2(&copy, nullptr) == CUDA_ERROR_NOT_SUPPORTED);
  CHECK(cuMemcpy2D_v2(nullptr) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemFree_v2(device) == CUDA_SUCCESS);
}
