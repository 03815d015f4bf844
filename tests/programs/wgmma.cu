// Matrix products of Hopper's warpgroups: tiles of 64 x 64, accumulators in flight while the next
// tile is fetched.

// -DFAULT=...: what gemm_fp8 then lacks.
enum Fault { kSound, kNoProxyFence, kNoFence, kNoWait, kNoBarrier, kNoLastWait };
#ifndef FAULT
#define FAULT kSound
#endif
__device__ constexpr bool lacks(Fault fault) { return fault == FAULT; }

using u32 = unsigned int;
using u64 = unsigned long long;

__device__ u32 shared_address(const void* at) {
  return static_cast<u32>(__cvta_generic_to_shared(at));
}
__device__ void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int kPending>
__device__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}
__device__ void fence_proxy_async() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
// Holds ordinary writes of accumulators where they stand: before the fence, after the wait.
__device__ void settle(float (&d)[32]) {
#pragma unroll
  for (int i = 0; i < 32; ++i) asm volatile("" : "+f"(d[i])::"memory");
}

__device__ u64 descriptor(u32 address, u32 leading, u32 stride, u64 swizzle) {
  return (address & 0x3FFFF) >> 4 | static_cast<u64>(leading >> 4) << 16 |
         static_cast<u64>(stride >> 4) << 32 | swizzle << 62;
}
constexpr u64 kSwizzle128 = 1;

#define ACCUMULATORS                                                                            \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, " \
  "%20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}"
#define FOUR(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define ALL(d)                                                                            \
  FOUR(d, 0), FOUR(d, 4), FOUR(d, 8), FOUR(d, 12), FOUR(d, 16), FOUR(d, 20), FOUR(d, 24), \
      FOUR(d, 28)

__device__ void wgmma_fp8(float (&d)[32], u64 a, u64 b, int accumulate) {
  asm volatile(
      "{.reg .pred p; setp.ne.b32 p, %34, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k32.f32.e4m3.e4m3 " ACCUMULATORS ", %32, %33, p, 1, 1;}\n"
      : ALL(d)
      : "l"(a), "l"(b), "r"(accumulate));
}
// A from registers, B's rows along n.
__device__ void wgmma_bf16(float (&d)[32], const u32 (&a)[4], u64 b, int accumulate) {
  asm volatile(
      "{.reg .pred p; setp.ne.b32 p, %37, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " ACCUMULATORS
      ", {%32, %33, %34, %35}, %36, p, 1, 1, 1;}\n"
      : ALL(d)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));
}

// 64 rows of 128 bytes, swizzled; `from` is the tile's first byte, rows are `pitch` bytes apart.
__device__ void load_tile(unsigned char* tile, const unsigned char* from, int pitch) {
  for (int i = threadIdx.x; i < 64 * 8; i += 128) {
    const int row = i / 8, chunk = i % 8;
    *reinterpret_cast<uint4*>(tile + row * 128 + (chunk ^ row % 8) * 16) =
        *reinterpret_cast<const uint4*>(from + row * pitch + chunk * 16);
  }
}

__device__ void store_tile(const float (&d)[32], float* c, int pitch, int thread) {
  const int row = thread / 32 * 16 + thread % 32 / 4, column = thread % 4 * 2;
  for (int i = 0; i < 32; ++i) c[(row + i / 2 % 2 * 8) * pitch + column + i / 4 * 8 + i % 2] = d[i];
}

struct Tiles {
  unsigned char a[2][64 * 128], b[2][64 * 128];
};
extern __shared__ __align__(1024) unsigned char memory[];

__device__ void multiply_fp8(float (&d)[32], const unsigned char* a, const unsigned char* b,
                             bool accumulate) {
  const u64 from_a = descriptor(shared_address(a), 16, 1024, kSwizzle128);
  const u64 from_b = descriptor(shared_address(b), 16, 1024, kSwizzle128);
#pragma unroll
  for (int k = 0; k < 4; ++k) wgmma_fp8(d, from_a + 2 * k, from_b + 2 * k, accumulate || k != 0);
}

// c = a b', all row-major: a is m x k and b n x k, of e4m3.
extern "C" __global__ void __launch_bounds__(128)
    gemm_fp8(const unsigned char* a, const unsigned char* b, float* c, int n, int k) {
  Tiles& tiles = *reinterpret_cast<Tiles*>(memory);
  a += blockIdx.y * 64 * k;
  b += blockIdx.x * 64 * k;
  float d[32];
  for (int i = 0; i < k / 128; ++i) {
    load_tile(tiles.a[i % 2], a + i * 128, k);
    load_tile(tiles.b[i % 2], b + i * 128, k);
    if (!lacks(kNoProxyFence)) fence_proxy_async();
    __syncthreads();
    if (!lacks(kNoFence)) wgmma_fence();
    multiply_fp8(d, tiles.a[i % 2], tiles.b[i % 2], i != 0);
    wgmma_commit();
    if (!lacks(kNoWait)) wgmma_wait<1>();
    if (!lacks(kNoBarrier)) __syncthreads();  // the other stage has been read by all
  }
  if (!lacks(kNoLastWait)) wgmma_wait<0>();
  settle(d);
  store_tile(d, c + blockIdx.y * 64 * n + blockIdx.x * 64, n, threadIdx.x);
}

// The same with sums in fp32 registers: a step's products are added while the next ones' are made.
extern "C" __global__ void __launch_bounds__(128)
    gemm_fp8_two_level(const unsigned char* a, const unsigned char* b, float* c, int n, int k) {
  Tiles& tiles = *reinterpret_cast<Tiles*>(memory);
  a += blockIdx.y * 64 * k;
  b += blockIdx.x * 64 * k;
  float sums[32] = {}, d[2][32];
  const auto start = [&](int i, float(&into)[32]) {
    load_tile(tiles.a[i % 2], a + i * 128, k);
    load_tile(tiles.b[i % 2], b + i * 128, k);
    fence_proxy_async();
    __syncthreads();
    settle(into);
    wgmma_fence();
    multiply_fp8(into, tiles.a[i % 2], tiles.b[i % 2], false);
    wgmma_commit();
  };
  const auto add = [&](float(&from)[32]) {
    settle(from);
#pragma unroll
    for (int j = 0; j < 32; ++j) sums[j] += from[j];
    __syncthreads();
  };
#pragma unroll
  for (int j = 0; j < 32; ++j) d[0][j] = d[1][j] = 0;
  start(0, d[0]);
  for (int i = 1; i + 1 < k / 128; i += 2) {
    start(i, d[1]);
    wgmma_wait<1>();
    add(d[0]);
    start(i + 1, d[0]);
    wgmma_wait<1>();
    add(d[1]);
  }
  wgmma_wait<0>();
  add(d[0]);
  store_tile(sums, c + blockIdx.y * 64 * n + blockIdx.x * 64, n, threadIdx.x);
}

// c = a b, all row-major: a is m x k and b k x n, of bf16. A goes to registers, B stays as it lies.
extern "C" __global__ void __launch_bounds__(128)
    gemm_bf16(const unsigned short* a, const unsigned short* b, float* c, int n, int k) {
  Tiles& tiles = *reinterpret_cast<Tiles*>(memory);
  a += (blockIdx.y * 64 + threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4) * k + threadIdx.x % 4 * 2;
  b += blockIdx.x * 64;
  float d[32];
  u32 fragments[2][4][4];
  const auto step = [&](int i, u32(&fragment)[4][4]) {
    load_tile(tiles.b[i % 2], reinterpret_cast<const unsigned char*>(b + i * 64 * n), n * 2);
#pragma unroll
    for (int j = 0; j < 4; ++j)
#pragma unroll
      for (int r = 0; r < 4; ++r)
        fragment[j][r] =
            *reinterpret_cast<const u32*>(a + r % 2 * 8 * k + i * 64 + j * 16 + r / 2 * 8);
    fence_proxy_async();
    __syncthreads();
#pragma unroll
    for (int j = 0; j < 4; ++j)
#pragma unroll
      for (int r = 0; r < 4; ++r) asm volatile("" : "+r"(fragment[j][r])::"memory");
    wgmma_fence();
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const u64 from =
          descriptor(shared_address(tiles.b[i % 2] + j * 16 * 128), 16, 1024, kSwizzle128);
      wgmma_bf16(d, fragment[j], from, i != 0 || j != 0);
    }
    wgmma_commit();
    wgmma_wait<1>();
    __syncthreads();
  };
  for (int i = 0; i < k / 64; i += 2) {
    step(i, fragments[0]);
    step(i + 1, fragments[1]);
  }
  wgmma_wait<0>();
  settle(d);
  store_tile(d, c + blockIdx.y * 64 * n + blockIdx.x * 64, n, threadIdx.x);
}

// --- a warpgroup that fetches and one that multiplies, with a ring of tiles between them

__device__ void mbarrier_init(u64& at, u32 count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(&at)), "r"(count));
}
__device__ void mbarrier_arrive(u64& at) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(&at)) : "memory");
}
__device__ void mbarrier_expect(u64& at, u32 bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(&at)),
               "r"(bytes)
               : "memory");
}
__device__ void mbarrier_wait(u64& at, u32 parity) {
  int done = 0;
  while (!done) {
    asm volatile(
        "{.reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
        "selp.b32 %0, 1, 0, p;}\n"
        : "=r"(done)
        : "r"(shared_address(&at)), "r"(parity)
        : "memory");
  }
}

struct alignas(64) TensorMap {
  unsigned char opaque[128];
};
__device__ void tma_load(unsigned char* to, const TensorMap& map, int x, int y, u64& mbarrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, "
      "%3}], [%4];" ::"r"(shared_address(to)),
      "l"(&map), "r"(x), "r"(y), "r"(shared_address(&mbarrier))
      : "memory");
}

constexpr int kStages = 2;
struct Ring {
  unsigned char a[kStages][64 * 128], b[kStages][64 * 128];
  u64 full[kStages], empty[kStages];
};

extern "C" __global__ void __maxnreg__(128)
    gemm_tma(const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b, float* c,
             int n, int k) {
  Ring& ring = *reinterpret_cast<Ring*>(memory);
  if (threadIdx.x == 0) {
    for (int s = 0; s < kStages; ++s) {
      mbarrier_init(ring.full[s], 1);
      mbarrier_init(ring.empty[s], 4);
    }
    fence_proxy_async();
  }
  __syncthreads();
  if (threadIdx.x < 128) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
    if (threadIdx.x != 0) return;
    for (int i = 0; i < k / 128; ++i) {
      const int stage = i % kStages;
      if (i >= kStages) mbarrier_wait(ring.empty[stage], (i / kStages - 1) % 2);
      mbarrier_expect(ring.full[stage], 2 * 64 * 128);
      tma_load(ring.a[stage], a, i * 128, blockIdx.y * 64, ring.full[stage]);
      tma_load(ring.b[stage], b, i * 128, blockIdx.x * 64, ring.full[stage]);
    }
    return;
  }
  asm volatile("setmaxnreg.inc.sync.aligned.u32 208;");
  float d[32];
  for (int i = 0; i < k / 128; ++i) {
    const int stage = i % kStages;
    mbarrier_wait(ring.full[stage], i / kStages % 2);
    wgmma_fence();
    multiply_fp8(d, ring.a[stage], ring.b[stage], i != 0);
    wgmma_commit();
    wgmma_wait<1>();
    if (i != 0 && threadIdx.x % 32 == 0) mbarrier_arrive(ring.empty[(i - 1) % kStages]);
  }
  wgmma_wait<0>();
  settle(d);
  store_tile(d, c + blockIdx.y * 64 * n + blockIdx.x * 64, n, threadIdx.x - 128);
}
