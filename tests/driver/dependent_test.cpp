// Grids that may begin before the grid before them has ended, and do where OCTAVO_DEPENDENTS says
// so.
#include <cstdlib>
#include <vector>

#include "fixture.hpp"

using namespace octavo::emulator;

namespace {

// stores stores n at p, once it has let the next grid begin; stores_alone does not let it. reads
// stores at p + 4 what is at p before it waits for the grid before, and at p + 8 what is there
// then. passes lets the next grid begin before it waits itself, and waits after. strays stores
// where nothing is.
const char* const kDependents = R"(.version 8.0
.target sm_90
.address_size 64
.visible .entry stores(.param .u64 p, .param .u32 n) {
  .reg .b64 %rd<2>; .reg .b32 %r<2>;
  griddepcontrol.launch_dependents;
  ld.param.u64 %rd1, [p]; ld.param.u32 %r1, [n];
  st.global.u32 [%rd1], %r1;
  ret;
}
.visible .entry stores_alone(.param .u64 p, .param .u32 n) {
  .reg .b64 %rd<2>; .reg .b32 %r<2>;
  ld.param.u64 %rd1, [p]; ld.param.u32 %r1, [n];
  st.global.u32 [%rd1], %r1;
  ret;
}
.visible .entry reads(.param .u64 p, .param .u32 n) {
  .reg .b64 %rd<2>; .reg .b32 %r<2>;
  ld.param.u64 %rd1, [p];
  ld.global.u32 %r1, [%rd1]; st.global.u32 [%rd1+4], %r1;
  griddepcontrol.wait;
  ld.global.u32 %r1, [%rd1]; st.global.u32 [%rd1+8], %r1;
  ret;
}
.visible .entry passes(.param .u64 p, .param .u32 n) {
  griddepcontrol.launch_dependents;
  griddepcontrol.wait;
  ret;
}
.visible .entry waits(.param .u64 p, .param .u32 n) {
  griddepcontrol.wait;
  griddepcontrol.launch_dependents;
  ret;
}
.visible .entry strays(.param .u64 p, .param .u32 n) {
  .reg .b64 %rd<2>; .reg .b32 %r<2>;
  griddepcontrol.launch_dependents;
  mov.u64 %rd1, 16; mov.u32 %r1, 1; st.global.u32 [%rd1], %r1;
  ret;
}
)";

constexpr unsigned kOld = 1, kNew = 2;

class Dependents : public CurrentContext {
 public:
  explicit Dependents(const char* dependents = "early") {
    setenv("OCTAVO_DEPENDENTS", dependents, 1);
    REQUIRE(cuModuleLoadData(&module_, kDependents) == CUDA_SUCCESS);
    REQUIRE(cuMemAlloc_v2(&memory, 12) == CUDA_SUCCESS);
    REQUIRE(cuMemsetD32_v2(memory, kOld, 3) == CUDA_SUCCESS);
  }
  ~Dependents() { unsetenv("OCTAVO_DEPENDENTS"); }

  // Functions are found before: a call between two launches would end what is held.
  CUresult launch(CUfunction function, bool dependent, unsigned blocks = 1,
                  CUstream stream = nullptr) {
    CUlaunchAttribute attribute{};
    attribute.id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
    attribute.value.programmaticStreamSerializationAllowed = dependent ? 1 : 0;
    CUlaunchConfig config{};
    config.gridDimX = blocks, config.gridDimY = config.gridDimZ = 1;
    config.blockDimX = 32, config.blockDimY = config.blockDimZ = 1;
    config.hStream = stream;
    config.attrs = &attribute, config.numAttrs = 1;
    unsigned value = kNew;
    void* parameters[] = {&memory, &value};
    return cuLaunchKernelEx(&config, function, parameters, nullptr);
  }

  CUfunction function(const char* name) {
    CUfunction result = nullptr;
    REQUIRE(cuModuleGetFunction(&result, module_, name) == CUDA_SUCCESS);
    return result;
  }

  // What `reads` found before its wait and after it.
  std::vector<unsigned> found() {
    std::vector<unsigned> words(2);
    REQUIRE(cuMemcpyDtoH_v2(words.data(), memory + 4, 8) == CUDA_SUCCESS);
    return words;
  }

  CUdeviceptr memory = 0;

 private:
  CUmodule module_ = nullptr;
};

const std::vector<unsigned> kEarly = {kOld, kNew}, kLate = {kNew, kNew};

std::vector<unsigned> found_behind(const char* before, bool dependent,
                                   const char* dependents = "early", unsigned blocks = 1) {
  Dependents test(dependents);
  const CUfunction first = test.function(before), reads = test.function("reads");
  REQUIRE(test.launch(first, false, blocks) == CUDA_SUCCESS);
  REQUIRE(test.launch(reads, dependent) == CUDA_SUCCESS);
  return test.found();
}

}  // namespace

TEST_CASE("a dependent grid begins before the grid before has written, and waits for its end") {
  CHECK(found_behind("stores", true) == kEarly);
  CHECK(found_behind("stores", true, "early", 1000) == kEarly);
}

TEST_CASE("it does so only where both grids and the environment say so") {
  CHECK(found_behind("stores", false) == kLate);
  CHECK(found_behind("stores_alone", true) == kLate);
  CHECK(found_behind("stores", true, "late") == kLate);
  Dependents test("sometimes");
  CHECK(test.launch(test.function("stores"), false) == CUDA_ERROR_INVALID_VALUE);
  CHECK(last_message_has("OCTAVO_DEPENDENTS=sometimes: must be late or early"));
}

TEST_CASE("other streams and other calls do not overlap a grid") {
  Dependents test;
  const CUfunction stores = test.function("stores"), reads = test.function("reads");
  CUstream stream = nullptr;
  REQUIRE(cuStreamCreate(&stream, 0) == CUDA_SUCCESS);
  REQUIRE(test.launch(stores, false) == CUDA_SUCCESS);
  REQUIRE(test.launch(reads, true, 1, stream) == CUDA_SUCCESS);
  CHECK(test.found() == kLate);
  REQUIRE(cuMemsetD32_v2(test.memory, kOld, 3) == CUDA_SUCCESS);
  REQUIRE(test.launch(stores, false) == CUDA_SUCCESS);
  REQUIRE(cuStreamSynchronize(nullptr) == CUDA_SUCCESS);
  REQUIRE(test.launch(reads, true) == CUDA_SUCCESS);
  CHECK(test.found() == kLate);
  CHECK(cuStreamDestroy_v2(stream) == CUDA_SUCCESS);
}

TEST_CASE("a grid that lets the next begin before it waits itself lets it overlap the one before") {
  for (const bool passes : {true, false}) {
    Dependents test;
    const CUfunction stores = test.function("stores"), reads = test.function("reads"),
                     between = test.function(passes ? "passes" : "waits");
    REQUIRE(test.launch(stores, false) == CUDA_SUCCESS);
    REQUIRE(test.launch(between, true) == CUDA_SUCCESS);
    REQUIRE(test.launch(reads, true) == CUDA_SUCCESS);
    CHECK(test.found() == (passes ? kEarly : kLate));
  }
}

TEST_CASE("more grids than may overlap run, too") {
  Dependents test;
  const CUfunction stores = test.function("stores"), passes = test.function("passes"),
                   reads = test.function("reads");
  REQUIRE(test.launch(stores, false) == CUDA_SUCCESS);
  for (int i = 0; i < 10; ++i) REQUIRE(test.launch(passes, true) == CUDA_SUCCESS);
  REQUIRE(test.launch(reads, true) == CUDA_SUCCESS);
  CHECK(test.found() == kLate);
}

TEST_CASE("alone: a held grid's fault is what the next call returns" * doctest::skip()) {
  Dependents test;
  REQUIRE(test.launch(test.function("strays"), false) == CUDA_SUCCESS);
  CHECK(cuStreamSynchronize(nullptr) == CUDA_ERROR_ILLEGAL_ADDRESS);
  CHECK(last_message_has("kernel strays"));
}

TEST_CASE("alone: a held grid's fault ends what has begun behind it" * doctest::skip()) {
  Dependents test;
  const CUfunction strays = test.function("strays"), reads = test.function("reads");
  REQUIRE(test.launch(strays, false) == CUDA_SUCCESS);
  CHECK(test.launch(reads, true) == CUDA_ERROR_ILLEGAL_ADDRESS);
  CHECK(cuCtxSynchronize() == CUDA_ERROR_ILLEGAL_ADDRESS);
}

TEST_CASE("a held grid's fault ends its context") {
  CHECK(run_alone("alone: a held grid*is what*", "OCTAVO_DEPENDENTS=early") == 0);
  CHECK(run_alone("alone: a held grid*behind it", "OCTAVO_DEPENDENTS=early") == 0);
}
