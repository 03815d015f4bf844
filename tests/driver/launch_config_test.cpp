// Launches with a configuration: clusters, cooperation, and what a kernel may be given.
#include <vector>

#include "fixture.hpp"

using namespace octavo::emulator;

namespace {

// Each block writes its rank, its cluster's blocks and whether a cluster was asked for.
std::string rank_kernel(const char* name, const char* directives) {
  return std::string(".visible .entry ") + name + "(.param .u64 p) " + directives + R"( {
  .reg .b64 %rd<4>; .reg .b32 %r<8>; .reg .pred %p<2>;
  ld.param.u64 %rd1, [p];
  mov.u32 %r1, %ctaid.x; mul.wide.u32 %rd2, %r1, 12; add.u64 %rd3, %rd1, %rd2;
  mov.u32 %r2, %cluster_ctarank; mov.u32 %r3, %cluster_nctarank;
  mov.pred %p1, %is_explicit_cluster; selp.u32 %r4, 1, 0, %p1;
  st.global.u32 [%rd3], %r2; st.global.u32 [%rd3+4], %r3; st.global.u32 [%rd3+8], %r4;
  ret;
}
)";
}

const std::string kClusterKernels =
    ".version 8.0\n.target sm_90\n.address_size 64\n" + rank_kernel("any", "") +
    rank_kernel("four", ".reqnctapercluster 4, 1, 1") + rank_kernel("must", ".explicitcluster") +
    rank_kernel("two_at_most", ".maxclusterrank 2") + rank_kernel("block_of_64", ".reqntid 64") +
    R"(
// All blocks count themselves in and wait for the others.
.visible .entry together(.param .u64 p) {
  .reg .b64 %rd<2>; .reg .b32 %r<4>; .reg .pred %p<2>;
  ld.param.u64 %rd1, [p]; mov.u32 %r1, %nctaid.x; atom.global.add.u32 %r2, [%rd1], 1;
  WAIT: ld.acquire.gpu.global.u32 %r3, [%rd1]; setp.lt.u32 %p1, %r3, %r1; @%p1 bra WAIT;
  ret;
}
// As cooperative_groups' grid.sync does it: block b stores 100 + b, and after the grid has met, at
// 1024 bytes from there, what the next block has stored.
.visible .entry meet(.param .u64 p) {
  .reg .b64 %rd<8>; .reg .b32 %r<12>; .reg .pred %p<3>;
  mov.u32 %r1, %envreg1; mov.u32 %r2, %envreg2; mov.b64 %rd1, {%r2, %r1};
  ld.param.u64 %rd2, [p]; mov.u32 %r3, %nctaid.x; mov.u32 %r4, %ctaid.x;
  mul.wide.u32 %rd3, %r4, 4; add.u64 %rd3, %rd2, %rd3; add.u32 %r5, %r4, 100; st.global.u32 [%rd3], %r5;
  setp.eq.u32 %p1, %r4, 0; sub.u32 %r6, 0x80000001, %r3; selp.u32 %r6, %r6, 1, %p1;
  atom.add.acq_rel.gpu.global.u32 %r7, [%rd1+4], %r6;
  WAIT: ld.acquire.gpu.global.u32 %r8, [%rd1+4]; xor.b32 %r8, %r8, %r7; setp.ge.s32 %p2, %r8, 0; @%p2 bra WAIT;
  add.u32 %r9, %r4, 1; rem.u32 %r9, %r9, %r3; mul.wide.u32 %rd4, %r9, 4; add.u64 %rd4, %rd2, %rd4;
  ld.global.u32 %r10, [%rd4]; st.global.u32 [%rd3+1024], %r10;
  ret;
}
)";

class ClusterKernels : public CurrentContext {
 public:
  ClusterKernels() {
    REQUIRE(cuModuleLoadData(&module, kClusterKernels.c_str()) == CUDA_SUCCESS);
    REQUIRE(cuMemAlloc_v2(&out, 4096) == CUDA_SUCCESS);
    REQUIRE(cuMemsetD32_v2(out, 0, 1024) == CUDA_SUCCESS);
  }
  ~ClusterKernels() { cuMemFree_v2(out); }

  CUfunction function(const char* name) {
    CUfunction result = nullptr;
    REQUIRE(cuModuleGetFunction(&result, module, name) == CUDA_SUCCESS);
    return result;
  }
  CUresult launch(const char* name, unsigned grid, std::vector<CUlaunchAttribute> attributes,
                  unsigned threads = 32) {
    const CUlaunchConfig config{
        grid, 1, 1,       threads,           1,
        1,    0, nullptr, attributes.data(), static_cast<unsigned>(attributes.size())};
    void* params[] = {&out};
    return cuLaunchKernelEx(&config, function(name), params, nullptr);
  }
  std::vector<unsigned> values(std::size_t count) {
    std::vector<unsigned> result(count);
    REQUIRE(cuMemcpyDtoH_v2(result.data(), out, count * 4) == CUDA_SUCCESS);
    return result;
  }
  // What the ranks of `blocks` blocks must be.
  void check_ranks(unsigned blocks, unsigned cluster, unsigned is_explicit) {
    const auto found = values(3 * blocks);
    for (unsigned b = 0; b < blocks; ++b) {
      CHECK(found[3 * b] == b % cluster);
      CHECK(found[3 * b + 1] == cluster);
      CHECK(found[3 * b + 2] == is_explicit);
    }
  }

  CUmodule module = nullptr;
  CUdeviceptr out = 0;

 private:
  ScratchCache cache_;
};

CUlaunchAttribute cluster_of(unsigned x, unsigned y = 1, unsigned z = 1) {
  CUlaunchAttribute attribute{};
  attribute.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
  attribute.value.clusterDim = {x, y, z};
  return attribute;
}

CUlaunchAttribute attribute_of(int id, int value = 1) {
  CUlaunchAttribute attribute{};
  attribute.id = static_cast<CUlaunchAttributeID>(id);
  attribute.value.cooperative = value;
  return attribute;
}

}  // namespace

TEST_CASE_FIXTURE(ClusterKernels, "a launch, a kernel or cuFuncSetAttribute say the cluster") {
  CHECK(launch("any", 8, {}) == CUDA_SUCCESS);
  check_ranks(8, 1, 0);
  CHECK(launch("any", 8, {cluster_of(2)}) == CUDA_SUCCESS);
  check_ranks(8, 2, 1);
  CHECK(launch("four", 8, {}) == CUDA_SUCCESS);
  check_ranks(8, 4, 1);
  CHECK(launch("four", 8, {cluster_of(4)}) == CUDA_SUCCESS);
  void* params[] = {&out};
  CHECK(cuLaunchKernel(function("four"), 12, 1, 1, 32, 1, 1, 0, nullptr, params, nullptr) ==
        CUDA_SUCCESS);
  check_ranks(12, 4, 1);
  CHECK(launch("must", 8, {cluster_of(8)}) == CUDA_SUCCESS);
  check_ranks(8, 8, 1);
  CHECK(cuFuncSetAttribute(function("any"), CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH, 2) ==
        CUDA_SUCCESS);
  CHECK(launch("any", 8, {}) == CUDA_SUCCESS);
  check_ranks(8, 2, 1);
}

TEST_CASE_FIXTURE(ClusterKernels, "clusters that cannot be are refused, and the context goes on") {
  struct Wrong {
    const char* kernel;
    unsigned grid;
    std::vector<CUlaunchAttribute> attributes;
    CUresult code;
    const char* part;
  };
  const std::vector<Wrong> wrongs = {
      {"any", 9, {cluster_of(2)}, CUDA_ERROR_INVALID_CLUSTER_SIZE, "whole clusters"},
      {"any", 16, {cluster_of(16)}, CUDA_ERROR_INVALID_CLUSTER_SIZE, "expected 1 to 8 blocks"},
      {"any", 16, {cluster_of(4, 4)}, CUDA_ERROR_INVALID_CLUSTER_SIZE, "clusters of 4x4x1"},
      {"any", 16, {cluster_of(2, 0)}, CUDA_ERROR_INVALID_VALUE, "at least 1x1x1"},
      {"four", 8, {cluster_of(2)}, CUDA_ERROR_INVALID_CLUSTER_SIZE, "it requires 4x1x1"},
      {"four", 6, {}, CUDA_ERROR_INVALID_CLUSTER_SIZE, "whole clusters"},
      {"must", 8, {}, CUDA_ERROR_INVALID_CLUSTER_SIZE, ".explicitcluster"},
      {"two_at_most", 8, {cluster_of(4)}, CUDA_ERROR_INVALID_CLUSTER_SIZE, "expected 1 to 2"},
      {"block_of_64", 8, {}, CUDA_ERROR_INVALID_VALUE, "block_of_64 requires 64x1x1"},
      {"any", 8, {attribute_of(7)}, CUDA_ERROR_NOT_SUPPORTED, "PROGRAMMATIC_EVENT"},
      {"any", 8, {attribute_of(12)}, CUDA_ERROR_NOT_SUPPORTED, "LAUNCH_COMPLETION_EVENT"},
      {"any", 8, {attribute_of(13)}, CUDA_ERROR_NOT_SUPPORTED, "DEVICE_UPDATABLE_KERNEL_NODE"},
      {"any", 8, {attribute_of(77)}, CUDA_ERROR_INVALID_VALUE, "launch attribute 77"},
  };
  for (const Wrong& wrong : wrongs) {
    CAPTURE(std::string(wrong.part));
    CHECK(launch(wrong.kernel, wrong.grid, wrong.attributes) == wrong.code);
    CHECK(last_message_has(wrong.part));
  }
  CHECK(launch("two_at_most", 8, {cluster_of(2)}) == CUDA_SUCCESS);
  CHECK(launch("block_of_64", 8, {}, 64) == CUDA_SUCCESS);
  std::vector<CUlaunchAttribute> accepted;
  for (const int id : {0, 1, 3, 5, 6, 8, 9, 10, 11, 14}) accepted.push_back(attribute_of(id));
  CHECK(launch("any", 8, accepted) == CUDA_SUCCESS);
  CHECK(cuLaunchKernelEx(nullptr, function("any"), nullptr, nullptr) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE_FIXTURE(ClusterKernels, "attributes of functions: what is kept, and what it may be") {
  const CUfunction any = function("any"), four = function("four");
  const auto get = [](CUfunction of, CUfunction_attribute attribute) {
    int value = -7;
    CHECK(cuFuncGetAttribute(&value, attribute, of) == CUDA_SUCCESS);
    return value;
  };
  CHECK(cuFuncSetAttribute(any, CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1) ==
        CUDA_SUCCESS);
  CHECK(get(any, CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED) == 1);
  CHECK(launch("any", 32, {cluster_of(16)}) == CUDA_SUCCESS);
  check_ranks(32, 16, 1);
  CHECK(launch("any", 32, {cluster_of(32)}) == CUDA_ERROR_INVALID_CLUSTER_SIZE);
  CHECK(get(four, CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH) == 4);
  CHECK(get(four, CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH) == 1);
  CHECK(get(any, CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH) == 0);
  CHECK(get(function("must"), CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET) == 1);
  CHECK(get(any, CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET) == 0);
  CHECK(cuFuncSetAttribute(four, CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH, 2) ==
        CUDA_ERROR_NOT_PERMITTED);
  CHECK(cuFuncSetAttribute(any, CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH, 17) ==
        CUDA_ERROR_INVALID_VALUE);
  CHECK(cuFuncSetAttribute(any, CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 2) ==
        CUDA_ERROR_INVALID_VALUE);
  CHECK(cuFuncSetAttribute(any, CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT, 101) ==
        CUDA_ERROR_INVALID_VALUE);
  CHECK(cuFuncSetAttribute(any, CU_FUNC_ATTRIBUTE_NUM_REGS, 32) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuFuncSetCacheConfig(any, 2) == CUDA_SUCCESS);
  CHECK(cuFuncSetCacheConfig(any, 4) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE_FIXTURE(ClusterKernels, "blocks that cooperate are all there at once, or are refused") {
  void* params[] = {&out};
  CHECK(cuLaunchCooperativeKernel(function("together"), 100, 1, 1, 32, 1, 1, 0, nullptr, params) ==
        CUDA_SUCCESS);
  CHECK(values(1)[0] == 3200);
  CHECK(cuLaunchCooperativeKernel(function("meet"), 200, 1, 1, 1, 1, 1, 0, nullptr, params) ==
        CUDA_SUCCESS);
  const auto found = values(456);
  for (unsigned b = 0; b < 200; ++b) CHECK(found[256 + b] == 100 + (b + 1) % 200);
  // An H100 holds 132 * 32 blocks of one warp.
  CHECK(cuLaunchCooperativeKernel(function("together"), 132 * 32 + 1, 1, 1, 32, 1, 1, 0, nullptr,
                                  params) == CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE);
  CHECK(last_message_has("4225 blocks of together: the device holds 4224 at once"));
  CHECK(launch("together", 132 * 32 + 1, {attribute_of(2)}) ==
        CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE);
  CHECK(launch("any", 8, {attribute_of(2)}) == CUDA_SUCCESS);
}

TEST_CASE_FIXTURE(ClusterKernels, "how many clusters fit, and how large they may be") {
  // A block of 1024 threads of few registers twice in each of 132 multiprocessors: six graphics
  // processing clusters of 16 and two of 18.
  CUlaunchAttribute attribute = cluster_of(2);
  CUlaunchConfig config{64, 1, 1, 1024, 1, 1, 0, nullptr, &attribute, 1};
  int count = 0;
  CHECK(cuOccupancyMaxActiveClusters(&count, function("any"), &config) == CUDA_SUCCESS);
  CHECK(count == 132);
  attribute = cluster_of(8);
  CHECK(cuOccupancyMaxActiveClusters(&count, function("any"), &config) == CUDA_SUCCESS);
  CHECK(count == 6 * 4 + 2 * 4);
  attribute = cluster_of(16);
  CHECK(cuOccupancyMaxActiveClusters(&count, function("any"), &config) ==
        CUDA_ERROR_INVALID_CLUSTER_SIZE);
  config.numAttrs = 0;
  CHECK(cuOccupancyMaxPotentialClusterSize(&count, function("any"), &config) == CUDA_SUCCESS);
  CHECK(count == 8);
  CHECK(cuOccupancyMaxPotentialClusterSize(&count, function("two_at_most"), &config) ==
        CUDA_SUCCESS);
  CHECK(count == 2);
  int grid = 0, block = 0;
  CHECK(cuOccupancyMaxPotentialBlockSize(&grid, &block, function("any"), nullptr, 0, 0) ==
        CUDA_SUCCESS);
  CHECK(block == 1024);
  CHECK(grid == 2 * 132);
}
