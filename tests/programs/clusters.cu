// Blocks of a cluster in each other's shared memory.

constexpr int kBlocks = 4, kBinsOfBlock = 64;

// A histogram too wide for one block: each holds a quarter of its bins, for all of the cluster.
extern "C" __global__ void __cluster_dims__(kBlocks)
    histogram(const int* in, int count, unsigned* out) {
  __shared__ unsigned bins[kBinsOfBlock];
  for (int i = threadIdx.x; i < kBinsOfBlock; i += blockDim.x) bins[i] = 0;
  __cluster_barrier_arrive();
  __cluster_barrier_wait();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
    auto* owner = static_cast<unsigned*>(__cluster_map_shared_rank(bins, in[i] / kBinsOfBlock));
    atomicAdd(&owner[in[i] % kBinsOfBlock], 1u);
  }
  __cluster_barrier_arrive();
  __cluster_barrier_wait();
  const int first = __clusterRelativeBlockRank() * kBinsOfBlock;
  for (int i = threadIdx.x; i < kBinsOfBlock; i += blockDim.x) atomicAdd(&out[first + i], bins[i]);
}

// Each cluster's sum, its blocks' parts added in order of their ranks: the same bits every time.
extern "C" __global__ void __cluster_dims__(kBlocks) sum(const float* in, float* out) {
  __shared__ float part[128];
  part[threadIdx.x] = in[blockIdx.x * 128 + threadIdx.x];
  for (int step = 64; step > 0; step /= 2) {
    __syncthreads();
    if (threadIdx.x < step) part[threadIdx.x] += part[threadIdx.x + step];
  }
  __cluster_barrier_arrive();
  __cluster_barrier_wait();
  if (__clusterRelativeBlockRank() == 0 && threadIdx.x == 0) {
    float total = 0;
    for (int rank = 0; rank < kBlocks; ++rank) {
      total += *static_cast<float*>(__cluster_map_shared_rank(part, rank));
    }
    out[blockIdx.x / kBlocks] = total;
  }
  __cluster_barrier_arrive();  // the others' memory is there until it has been read
  __cluster_barrier_wait();
}
