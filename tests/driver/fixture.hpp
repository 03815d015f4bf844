// A context of the emulated driver, and a module with a few small kernels.
#pragma once

#include <doctest/doctest.h>

#include <string>

#include "driver/api.hpp"
#include "scratch_cache.hpp"

namespace octavo::emulator {

inline std::string last_message() {
  const char* text = nullptr;
  CHECK(octavoEmulatorLastFault(&text) == CUDA_SUCCESS);
  return text;
}

inline bool last_message_has(const std::string& part) {
  CAPTURE(last_message());
  const bool found = last_message().find(part) != std::string::npos;
  CHECK(found);
  return found;
}

// Runs one test case of this very program in a process of its own, where the driver is fresh.
inline int run_alone(const std::string& test_case, const std::string& environment) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe");
  const std::string command =
      environment + " '" + self + "' --no-skip --test-case='" + test_case + "' >/dev/null";
  return std::system(command.c_str());
}

class CurrentContext {
 public:
  CurrentContext() {
    REQUIRE(cuInit(0) == CUDA_SUCCESS);
    REQUIRE(cuDevicePrimaryCtxRetain(&context, 0) == CUDA_SUCCESS);
    REQUIRE(cuCtxSetCurrent(context) == CUDA_SUCCESS);
  }
  ~CurrentContext() {
    cuCtxSetCurrent(nullptr);
    cuDevicePrimaryCtxRelease_v2(0);
  }
  CurrentContext(const CurrentContext&) = delete;
  CurrentContext& operator=(const CurrentContext&) = delete;

  CUcontext context = nullptr;
};

inline const char* const kKernels = R"(.version 8.0
.target sm_90
.address_size 64
.visible .global .align 4 .u32 counters[3] = {7, 8, 9};
.visible .entry adds(.param .u64 p, .param .u32 n) {
  .reg .b64 %rd<4>; .reg .b32 %r<4>;
  ld.param.u64 %rd1, [p];
  ld.param.u32 %r1, [n];
  mov.u32 %r2, %tid.x;
  add.u32 %r3, %r2, %r1;
  mul.wide.u32 %rd2, %r2, 4;
  add.u64 %rd3, %rd1, %rd2;
  st.global.u32 [%rd3], %r3;
  ret;
}
.visible .entry limited() .maxntid 256, 1, 1 {
  .reg .b32 %r<2>;
  .shared .align 4 .b8 s[1024];
  mov.u32 %r1, 1;
  st.shared.u32 [s], %r1;
  ret;
}
.visible .entry traps() { trap; }
.visible .entry strays() {
  .reg .b64 %rd<2>; .reg .b32 %r<2>;
  mov.u64 %rd1, 16;
  mov.u32 %r1, 1;
  st.global.u32 [%rd1], %r1;
  ret;
}
)";

class LoadedKernels : public CurrentContext {
 public:
  LoadedKernels() { REQUIRE(cuModuleLoadData(&module, kKernels) == CUDA_SUCCESS); }
  CUfunction function(const char* name) {
    CUfunction result = nullptr;
    REQUIRE(cuModuleGetFunction(&result, module, name) == CUDA_SUCCESS);
    return result;
  }
  // One block of 64 threads unless said otherwise.
  CUresult launch(const char* name, void** params = nullptr, unsigned threads = 64,
                  unsigned shared_bytes = 0) {
    return cuLaunchKernel(function(name), 1, 1, 1, threads, 1, 1, shared_bytes, nullptr, params,
                          nullptr);
  }

  CUmodule module = nullptr;

 private:
  ScratchCache cache_;
};

}  // namespace octavo::emulator
