// A CUDA driver that runs nothing: it counts calls, keeps what it is given, and fails where a test
// tells it to. Built twice: as libcuda.so.1 and, with octavoEmulatorLastFault, as the emulator.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "runtime/emulator/cuda_abi.h"

namespace octavo::test {

struct FakeLaunch {
  unsigned grid_x, grid_y, grid_z, block_x, shared_bytes;
  CUstream stream;
  std::vector<char> arguments;  // FakeDriver::argument_bytes of the first parameter
};

struct FakeTensorMap {  // of rank 2
  CUdeviceptr address;
  std::uint64_t sizes[2], stride;
  unsigned box[2];
  CUtensorMapSwizzle swizzle;
};

struct FakeDriver {
  std::map<std::string, int> calls;         // by name, as in Driver
  std::map<std::string, CUresult> results;  // what a call returns; success where it has none
  int devices = 1;
  int compute_capability = 90;
  int multiprocessors = 132;
  CUresult cubin_result = CUDA_SUCCESS;  // of loading a cubin; PTX always loads
  std::vector<std::string> images;       // "cubin" or "ptx", as they were offered
  int max_dynamic_shared = 0;            // last set
  std::size_t argument_bytes = 0;
  std::vector<FakeLaunch> launches;
  std::vector<FakeTensorMap> tensor_maps;  // the n-th begins with the number n, from 1 on
  std::string last_fault;

  CUresult called(const char* name) {
    ++calls[name];
    const auto result = results.find(name);
    return result == results.end() ? CUDA_SUCCESS : result->second;
  }
};

// The library's state, by which a test drives it; exported as octavo_fake_driver.
using GetFakeDriver = FakeDriver* (*)();

}  // namespace octavo::test
