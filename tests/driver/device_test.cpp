// Starting the driver, the device's answers, errors' names.
#include <array>
#include <set>
#include <thread>

#include "fixture.hpp"

namespace octavo::emulator {
namespace {

TEST_CASE("alone: nothing works before cuInit" * doctest::skip()) {
  int value = 0;
  CUdeviceptr address = 0;
  CUcontext context = nullptr;
  CHECK(cuDeviceGetCount(&value) == CUDA_ERROR_NOT_INITIALIZED);
  last_message_has("cuDeviceGetCount: cuInit was not called");
  CHECK(cuMemAlloc_v2(&address, 16) == CUDA_ERROR_NOT_INITIALIZED);
  CHECK(cuCtxGetCurrent(&context) == CUDA_ERROR_NOT_INITIALIZED);
  CHECK(cuDevicePrimaryCtxRetain(&context, 0) == CUDA_ERROR_NOT_INITIALIZED);
  CHECK(cuDriverGetVersion(&value) == CUDA_SUCCESS);
  CHECK(value == 13000);
  CHECK(cuInit(1) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuDeviceGetCount(&value) == CUDA_ERROR_NOT_INITIALIZED);
  CHECK(cuInit(0) == CUDA_SUCCESS);
  CHECK(cuInit(0) == CUDA_SUCCESS);
  CHECK(cuDeviceGetCount(&value) == CUDA_SUCCESS);
  CHECK(value == 1);
}

TEST_CASE("alone: an unknown GPU is no device" * doctest::skip()) {
  CHECK(cuInit(0) == CUDA_ERROR_NO_DEVICE);
  CHECK(last_message() ==
        "cuInit: OCTAVO_EMULATE=rtx1: expected one of h100, h200, a100, l40s, b200, rtx5090");
  int count = 0;
  CHECK(cuDeviceGetCount(&count) == CUDA_ERROR_NOT_INITIALIZED);
}

TEST_CASE("alone: the device is the one that OCTAVO_EMULATE names" * doctest::skip()) {
  REQUIRE(cuInit(0) == CUDA_SUCCESS);
  std::array<char, 100> name = {};
  CHECK(cuDeviceGetName(name.data(), 100, 0) == CUDA_SUCCESS);
  CHECK(std::string(name.data()) == "NVIDIA L40S (emulated)");
  int major = 0, minor = 0;
  cuDeviceGetAttribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 0);
  cuDeviceGetAttribute(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 0);
  CHECK(major == 8);
  CHECK(minor == 9);
}

TEST_CASE("starting the driver") {
  CHECK(run_alone("alone: nothing works before cuInit", "OCTAVO_EMULATE=") == 0);
  CHECK(run_alone("alone: an unknown GPU is no device", "OCTAVO_EMULATE=rtx1") == 0);
  CHECK(run_alone("alone: the device is the one that OCTAVO_EMULATE names",
                  "OCTAVO_EMULATE=l40s") == 0);
  CHECK(run_alone("alone: an unknown GPU is no device", "OCTAVO_EMULATE=h100") != 0);
}

TEST_CASE("there is device 0 and no other") {
  REQUIRE(cuInit(0) == CUDA_SUCCESS);
  CUdevice device = 7;
  CHECK(cuDeviceGet(&device, 0) == CUDA_SUCCESS);
  CHECK(device == 0);
  CHECK(cuDeviceGet(&device, 1) == CUDA_ERROR_INVALID_DEVICE);
  CHECK(cuDeviceGet(&device, -1) == CUDA_ERROR_INVALID_DEVICE);
  CHECK(cuDeviceGet(nullptr, 0) == CUDA_ERROR_INVALID_VALUE);
  int value = 0;
  CHECK(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 3) ==
        CUDA_ERROR_INVALID_DEVICE);
  std::size_t bytes = 0;
  CHECK(cuDeviceTotalMem_v2(&bytes, 1) == CUDA_ERROR_INVALID_DEVICE);
  CHECK(cuDeviceTotalMem_v2(nullptr, 0) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("a name is cut to the room there is") {
  REQUIRE(cuInit(0) == CUDA_SUCCESS);
  std::array<char, 8> name = {'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x'};
  CHECK(cuDeviceGetName(name.data(), 5, 0) == CUDA_SUCCESS);
  CHECK(std::string(name.data()) == "NVID");
  CHECK(name[5] == 'x');
  CHECK(cuDeviceGetName(name.data(), 0, 0) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("every model answers every attribute sensibly") {
  std::set<std::string_view> ids;
  for (const DeviceModel& model : device_models()) {
    CAPTURE(model.id);
    CHECK(ids.insert(model.id).second);
    CHECK(find_device_model(model.id) == &model);
    const auto value = [&](CUdevice_attribute which) { return device_attribute(model, which); };
    const int major = value(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
    const int minor = value(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
    CHECK(major * 10 + minor == model.compute_capability);
    CHECK(value(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK) == 49152);
    // A multiprocessor holds one block at its most and the kilobyte that each block costs.
    CHECK(value(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN) +
              value(CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK) ==
          value(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR));
    CHECK(value(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR) >= 1536);
    CHECK(value(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT) > 100);
    CHECK(model.memory_bytes > std::size_t{30} << 30);
    CHECK_THROWS_AS(value(static_cast<CUdevice_attribute>(9999)), Fault);
  }
  CHECK(ids.size() == 6);
  CHECK(find_device_model("H100") == nullptr);
  // What an H200's own driver answers.
  const DeviceModel& h200 = *find_device_model("h200");
  CHECK(h200.multiprocessors == 132);
  CHECK(h200.shared_per_block == 232448);
  CHECK(h200.shared_per_multiprocessor == 233472);
  CHECK(h200.clock_khz == 1980000);
  CHECK(h200.memory_clock_khz == 3201000);
  CHECK(h200.memory_bus_bits == 6016);
  CHECK(h200.l2_bytes == 62914560);
  CHECK(h200.memory_bytes == 150109880320);
}

TEST_CASE("errors have their names, and asking for one keeps the last message") {
  REQUIRE(cuInit(0) == CUDA_SUCCESS);
  CHECK(cuDeviceGet(nullptr, 0) == CUDA_ERROR_INVALID_VALUE);
  const char* text = nullptr;
  CHECK(cuGetErrorName(CUDA_ERROR_ILLEGAL_ADDRESS, &text) == CUDA_SUCCESS);
  CHECK(std::string(text) == "CUDA_ERROR_ILLEGAL_ADDRESS");
  CHECK(cuGetErrorString(CUDA_ERROR_INVALID_PTX, &text) == CUDA_SUCCESS);
  CHECK(std::string(text) == "a PTX JIT compilation failed");
  CHECK(cuGetErrorName(static_cast<CUresult>(12345), &text) == CUDA_ERROR_INVALID_VALUE);
  CHECK(text == nullptr);
  CHECK(cuGetErrorString(CUDA_SUCCESS, nullptr) == CUDA_ERROR_INVALID_VALUE);
  CHECK(last_message() == "cuDeviceGet: device: expected a place for the result");
  std::string other = "not asked";
  std::thread([&] { other = last_message(); }).join();
  CHECK(other.empty());
}

}  // namespace
}  // namespace octavo::emulator
