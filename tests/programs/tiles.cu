// Tiles in shared memory: transpose, matrix product, stencil, sort, inverse, softmax.

extern "C" __global__ void transpose(const float* in, float* out, int rows, int columns) {
  __shared__ float tile[32][33];
  int x = blockIdx.x * 32 + threadIdx.x;
  int y = blockIdx.y * 32 + threadIdx.y;
  for (int j = 0; j < 32; j += 8) {
    if (x < columns && y + j < rows) tile[threadIdx.y + j][threadIdx.x] = in[(y + j) * columns + x];
  }
  __syncthreads();
  x = blockIdx.y * 32 + threadIdx.x;
  y = blockIdx.x * 32 + threadIdx.y;
  for (int j = 0; j < 32; j += 8) {
    if (x < rows && y + j < columns) out[(y + j) * rows + x] = tile[threadIdx.x][threadIdx.y + j];
  }
}

// C = alpha A B + beta C of row-major n x n, a tile of 64 x 64 a block, 4 x 4 a thread.
template <typename T>
__device__ void multiply(const T* a, const T* b, T* c, int n, T alpha, T beta) {
  __shared__ T a_tile[64][9], b_tile[8][64];
  const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
  T sums[4][4] = {};
  for (int k = 0; k < n; k += 8) {
    for (int i = threadIdx.x; i < 512; i += 256) {
      const int row = blockIdx.y * 64 + i / 8, column = blockIdx.x * 64 + i % 64;
      a_tile[i / 8][i % 8] = row < n && k + i % 8 < n ? a[row * n + k + i % 8] : T(0);
      b_tile[i / 64][i % 64] = k + i / 64 < n && column < n ? b[(k + i / 64) * n + column] : T(0);
    }
    __syncthreads();
#pragma unroll
    for (int p = 0; p < 8; ++p) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) sums[i][j] += a_tile[ty * 4 + i][p] * b_tile[p][tx * 4 + j];
      }
    }
    __syncthreads();
  }
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 4; ++j) {
      const int row = blockIdx.y * 64 + ty * 4 + i, column = blockIdx.x * 64 + tx * 4 + j;
      if (row < n && column < n) {
        c[row * n + column] = alpha * sums[i][j] + beta * c[row * n + column];
      }
    }
  }
}
extern "C" __global__ void __launch_bounds__(256)
    gemm_float(const float* a, const float* b, float* c, int n, float alpha, float beta) {
  multiply(a, b, c, n, alpha, beta);
}
extern "C" __global__ void __launch_bounds__(256)
    gemm_double(const double* a, const double* b, double* c, int n, double alpha, double beta) {
  multiply(a, b, c, n, alpha, beta);
}

__constant__ float weights[5] = {0.0625f, 0.25f, 0.375f, 0.25f, 0.0625f};

// Five points with clamped ends, from a tile with its halo.
extern "C" __global__ void stencil(const float* in, float* out, int n) {
  extern __shared__ float tile[];
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  const auto at = [&](int j) { return in[min(max(j, 0), n - 1)]; };
  tile[threadIdx.x + 2] = at(i);
  if (threadIdx.x < 2) {
    tile[threadIdx.x] = at(i - 2);
    tile[blockDim.x + 2 + threadIdx.x] = at(i + static_cast<int>(blockDim.x));
  }
  __syncthreads();
  float sum = 0;
  for (int j = 0; j < 5; ++j) sum += weights[j] * tile[threadIdx.x + j];
  if (i < n) out[i] = sum;
}

// Bitonic, in dynamic shared memory; n is a power of two.
extern "C" __global__ void sort(unsigned* data, int n) {
  extern __shared__ unsigned keys[];
  for (int i = threadIdx.x; i < n; i += blockDim.x) keys[i] = data[i];
  for (int size = 2; size <= n; size *= 2) {
    for (int step = size / 2; step > 0; step /= 2) {
      __syncthreads();
      for (int i = threadIdx.x; i < n; i += blockDim.x) {
        const int other = i ^ step;
        if (other <= i) continue;
        const bool upward = (i & size) == 0;
        if ((keys[i] > keys[other]) == upward) {
          const unsigned key = keys[i];
          keys[i] = keys[other];
          keys[other] = key;
        }
      }
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < n; i += blockDim.x) data[i] = keys[i];
}

// Gauss-Jordan with the greatest pivot of each column; one thread a column of [a | inverse].
extern "C" __global__ void invert(double* a, double* inverse, int n) {
  __shared__ int pivot;
  __shared__ double factors[64];
  const int column = threadIdx.x;
  double* own = column < n ? a + column : inverse + column - n;
  for (int i = 0; column >= n && i < n; ++i) own[i * n] = i == column - n ? 1 : 0;
  for (int k = 0; k < n; ++k) {
    if (column == k) {
      pivot = k;
      for (int i = k + 1; i < n; ++i) {
        if (fabs(own[i * n]) > fabs(own[pivot * n])) pivot = i;
      }
    }
    __syncthreads();
    const double value = own[pivot * n];
    own[pivot * n] = own[k * n];
    own[k * n] = value;
    if (column == k) {
      for (int i = 0; i < n; ++i) factors[i] = own[i * n];
    }
    __syncthreads();
    own[k * n] /= factors[k];
    for (int i = 0; i < n; ++i) {
      if (i != k) own[i * n] -= factors[i] * own[k * n];
    }
    __syncthreads();
  }
}

// A row a warp.
extern "C" __global__ void softmax(const float* in, float* out, int rows, int columns) {
  const int row = blockIdx.x * blockDim.y + threadIdx.y;
  if (row >= rows) return;
  float greatest = -__int_as_float(0x7f800000);
  for (int i = threadIdx.x; i < columns; i += 32) greatest = fmaxf(greatest, in[row * columns + i]);
  for (int step = 16; step > 0; step /= 2) {
    greatest = fmaxf(greatest, __shfl_xor_sync(~0u, greatest, step));
  }
  float sum = 0;
  for (int i = threadIdx.x; i < columns; i += 32) sum += expf(in[row * columns + i] - greatest);
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(~0u, sum, step);
  for (int i = threadIdx.x; i < columns; i += 32) {
    out[row * columns + i] = expf(in[row * columns + i] - greatest) / sum;
  }
}
