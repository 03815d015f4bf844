// Tensors moved by TMA: in, worked on in shared memory, and out again.

using u32 = unsigned int;
using u64 = unsigned long long;

struct alignas(64) TensorMap {
  u64 opaque[16];
};

__device__ u32 shared_address(const void* at) {
  return static_cast<u32>(__cvta_generic_to_shared(at));
}
__device__ void mbarrier_init(u64& mbarrier, int count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(&mbarrier)),
               "r"(count)
               : "memory");
}
__device__ void mbarrier_expect(u64& mbarrier, int bytes) {
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(&mbarrier)),
      "r"(bytes)
      : "memory");
}
__device__ void mbarrier_wait(u64& mbarrier, int parity) {
  asm volatile(
      "{.reg .pred p;\n"
      "WAIT: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n"
      "@!p bra WAIT;}" ::"r"(shared_address(&mbarrier)),
      "r"(parity)
      : "memory");
}
__device__ void fence_proxy_async() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

constexpr int kStages = 2, kRows = 32, kColumns = 32, kThreads = 128;
constexpr int kTileBytes = kRows * kColumns * 4;
__device__ void load(float* to, const TensorMap& map, int row, u64& mbarrier) {
  mbarrier_expect(mbarrier, kTileBytes);
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint "
      "[%0], [%1, {%2, %3}], [%4], %5;" ::"r"(shared_address(to)),
      "l"(&map), "r"(0), "r"(row), "r"(shared_address(&mbarrier)), "l"(0x14F0000000000000ull)
      : "memory");
}
// Waits until what was stored earlier has been read, so that its stage is free.
__device__ void store(const float* from, const TensorMap& map, int row) {
  asm volatile(
      "cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%1, %2}], [%3];\n"
      "cp.async.bulk.commit_group;\n"
      "cp.async.bulk.wait_group.read 0;" ::"l"(&map),
      "r"(0), "r"(row), "r"(shared_address(from))
      : "memory");
}

// Tile after tile of 32 x 32 floats: x + their place in the tile as it lies in shared memory, which
// both maps swizzle. The next tile comes while this one is worked on; blocks take turns.
extern "C" __global__ void __launch_bounds__(kThreads)
    add_places(const __grid_constant__ TensorMap in, const __grid_constant__ TensorMap out,
               int tiles) {
  extern __shared__ __align__(1024) float memory[];
  __shared__ u64 full[kStages];
  const auto tile = [&](int stage) { return memory + stage * (kTileBytes / 4); };
  if (threadIdx.x == 0) {
    for (u64& mbarrier : full) mbarrier_init(mbarrier, 1);
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("prefetch.tensormap [%0];" ::"l"(&in) : "memory");
    if (blockIdx.x < tiles) load(tile(0), in, blockIdx.x * kRows, full[0]);
  }
  __syncthreads();
  for (int i = 0, t = blockIdx.x; t < tiles; ++i, t += gridDim.x) {
    const int stage = i % kStages;
    if (threadIdx.x == 0 && t + gridDim.x < tiles) {
      load(tile(1 - stage), in, (t + gridDim.x) * kRows, full[1 - stage]);
    }
    mbarrier_wait(full[stage], i / kStages % 2);
    for (int j = threadIdx.x; j < kRows * kColumns; j += kThreads) tile(stage)[j] += j;
    fence_proxy_async();
    __syncthreads();
    if (threadIdx.x == 0) store(tile(stage), out, t * kRows);
    __syncthreads();
  }
}
