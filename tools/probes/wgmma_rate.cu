// Products m64n256 of two warpgroups a block, one after the other in the same accumulators, operands
// in shared memory: what prefill's tensor cores can do at most. Before this text: INSTRUCTION,
// ACCUMULATORS ("{d0, ..., d127}") and IMMEDIATES, as tensor_core.cu has them.
constexpr int kWords = 8;  // of a row of an operand: 32 bytes

__device__ unsigned long long descriptor(const unsigned* matrix) {
  // Core matrices of 8 rows of 16 bytes, the two of 8 rows one after the other.
  constexpr unsigned long long kCoreBytes = 128, kLeading = kCoreBytes, kStride = 2 * kCoreBytes;
  const unsigned long long start =
      static_cast<unsigned long long>(__cvta_generic_to_shared(matrix));
  return start >> 4 | kLeading >> 4 << 16 | kStride >> 4 << 32;
}

extern "C" __global__ void __launch_bounds__(256, 1) probe(unsigned rounds, float* sink) {
  __shared__ __align__(1024) unsigned a[2][64 * kWords];
  __shared__ __align__(1024) unsigned b[256 * kWords];
  // Numbers of both signs below 2: random, for zeros would take less power.
  const auto random = [](unsigned i) { return (i * 0x9E3779B1 ^ i << 7) * 0x85EBCA6B & 0xBFBFBFBF; };
  for (int i = threadIdx.x; i < 2 * 64 * kWords; i += 256) a[0][i] = random(i);
  for (int i = threadIdx.x; i < 256 * kWords; i += 256) b[i] = random(i + 4096);
  asm volatile("fence.proxy.async;" ::: "memory");
  __syncthreads();
  float result;
  asm volatile(
      "{ .reg .f32 d<128>; .reg .pred first, rest, more; .reg .u32 i; mov.u32 i, 0; "
      "ROUND: setp.ne.u32 first, i, 0; setp.eq.u32 rest, i, i; wgmma.fence.sync.aligned; "
      INSTRUCTION " " ACCUMULATORS ", %1, %2, first" IMMEDIATES "; "
      INSTRUCTION " " ACCUMULATORS ", %1, %2, rest" IMMEDIATES "; "
      INSTRUCTION " " ACCUMULATORS ", %1, %2, rest" IMMEDIATES "; "
      INSTRUCTION " " ACCUMULATORS ", %1, %2, rest" IMMEDIATES "; "
      "wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0; "
      "add.u32 i, i, 1; setp.lt.u32 more, i, %3; @more bra ROUND; mov.f32 %0, d0; }"
      : "=f"(result)
      : "l"(descriptor(a[threadIdx.x / 128])), "l"(descriptor(b)), "r"(rounds)
      : "memory");
  if (result == 12345) *sink = result;
}
