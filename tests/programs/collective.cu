// What threads do together: reduction, scan, compaction, histogram.

template <typename T>
__device__ T warp_sum(T value) {
  for (int step = 16; step > 0; step /= 2) value += __shfl_down_sync(~0u, value, step);
  return value;
}

// One value a block, then one for the grid.
template <typename T>
__device__ void sum(const T* in, int count, T* out) {
  __shared__ T partial[32];
  T value = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
    value += in[i];
  }
  value = warp_sum(value);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
  __syncthreads();
  if (threadIdx.x >= 32) return;
  value = warp_sum(threadIdx.x < blockDim.x / 32 ? partial[threadIdx.x] : T(0));
  if (threadIdx.x == 0) atomicAdd(out, value);
}

extern "C" __global__ void sum_int(const int* in, int count, int* out) { sum(in, count, out); }
extern "C" __global__ void sum_double(const double* in, int count, double* out) {
  sum(in, count, out);
}

// Inclusive scan of up to 1024 values by shuffles.
extern "C" __global__ void scan(const int* in, int count, int* out) {
  __shared__ int totals[32];
  const int i = threadIdx.x, lane = i % 32, warp = i / 32;
  int value = i < count ? in[i] : 0;
  for (int step = 1; step < 32; step *= 2) {
    const int other = __shfl_up_sync(~0u, value, step);
    if (lane >= step) value += other;
  }
  if (lane == 31) totals[warp] = value;
  __syncthreads();
  if (warp == 0) {
    int total = totals[lane];
    for (int step = 1; step < 32; step *= 2) {
      const int other = __shfl_up_sync(~0u, total, step);
      if (lane >= step) total += other;
    }
    totals[lane] = total;
  }
  __syncthreads();
  if (i < count) out[i] = value + (warp > 0 ? totals[warp - 1] : 0);
}

// Keeps the positive values, in order within a warp; blocks reserve their room by an atomic.
extern "C" __global__ void compact(const int* in, int count, int* kept, int* out) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  const bool keep = i < count && in[i] > 0;
  const unsigned votes = __ballot_sync(~0u, keep);
  const int lane = threadIdx.x % 32;
  int begin = 0;
  if (lane == 0) begin = atomicAdd(kept, __popc(votes));
  begin = __shfl_sync(~0u, begin, 0);
  if (keep) out[begin + __popc(votes & ((1u << lane) - 1))] = in[i];
}

extern "C" __global__ void histogram(const unsigned char* in, int count, unsigned* bins) {
  __shared__ unsigned own[256];
  for (int i = threadIdx.x; i < 256; i += blockDim.x) own[i] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
    atomicAdd(&own[in[i]], 1u);
  }
  __syncthreads();
  for (int i = threadIdx.x; i < 256; i += blockDim.x) {
    if (own[i] != 0) atomicAdd(&bins[i], own[i]);
  }
}

// The greatest value and its first place, packed into 64 bits.
extern "C" __global__ void find_greatest(const int* in, int count, unsigned long long* out) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const unsigned long long value = static_cast<unsigned>(in[i]) ^ 0x80000000u;
  atomicMax(out, value << 32 | ~static_cast<unsigned>(i));
}

// Lanes with the same key elect one that counts for them all.
extern "C" __global__ void count_keys(const int* keys, int count, int* counts) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const unsigned same = __match_any_sync(__activemask(), keys[i]);
  if (threadIdx.x % 32 == __ffs(same) - 1) atomicAdd(&counts[keys[i]], __popc(same));
}

// The last block to arrive adds up what the others left in memory.
__device__ unsigned arrived = 0;

extern "C" __global__ void sum_by_last_block(const int* in, int count, int* partial, int* out) {
  __shared__ bool is_last;
  __shared__ int total;
  if (threadIdx.x == 0) total = 0;
  __syncthreads();
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) atomicAdd(&total, in[i]);
  __syncthreads();
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = total;
    __threadfence();
    is_last = atomicInc(&arrived, gridDim.x - 1) == gridDim.x - 1;
  }
  __syncthreads();
  if (!is_last || threadIdx.x != 0) return;
  int all = 0;
  for (int b = 0; b < gridDim.x; ++b) all += reinterpret_cast<volatile int*>(partial)[b];
  *out = all;
}

// A lock that blocks of the grid wait for.
extern "C" __global__ void count_under_lock(int* lock, int* counter) {
  if (threadIdx.x != 0) return;
  while (atomicCAS(lock, 0, 1) != 0) __nanosleep(20);
  __threadfence();
  *reinterpret_cast<volatile int*>(counter) = *reinterpret_cast<volatile int*>(counter) + 1;
  __threadfence();
  atomicExch(lock, 0);
}
