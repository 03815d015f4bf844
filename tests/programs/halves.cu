// 16-bit and 8-bit floats by CUDA's own headers, and matrices by wmma.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <mma.h>

extern "C" __global__ void half_arithmetic(const __half2* in, __half2* out, int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const __half2 a = in[3 * i], b = in[3 * i + 1], c = in[3 * i + 2];
  __half2* to = out + 8 * i;
  to[0] = __hadd2(a, b);
  to[1] = __hmul2(a, b);
  to[2] = __hfma2(a, b, c);
  to[3] = __hfma2_relu(a, b, c);
  to[4] = __hmax2(a, __hneg2(b));
  to[5] = __hlt2(a, b);
  to[6] = __halves2half2(__hsub(__low2half(a), __high2half(b)), __habs(__low2half(c)));
  to[7] = __floats2half2_rn(__low2float(a) * 3.0f, static_cast<float>(__half2int_rn(__high2half(b))));
}

extern "C" __global__ void bfloat_arithmetic(const __nv_bfloat162* in, __nv_bfloat162* out,
                                             int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const __nv_bfloat162 a = in[3 * i], b = in[3 * i + 1], c = in[3 * i + 2];
  __nv_bfloat162* to = out + 4 * i;
  to[0] = __hadd2(a, b);
  to[1] = __hmul2(a, b);
  to[2] = __hfma2(a, b, c);
  to[3] = __hgeu2(a, b);
}

extern "C" __global__ void through_fp8(const float* in, float* out, int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  out[2 * i] = static_cast<float>(__nv_fp8_e4m3(in[i]));
  out[2 * i + 1] = static_cast<float>(__nv_fp8_e5m2(in[i]));
}

extern "C" __global__ void add_halves(__half* sum, __half2* sums) {
  atomicAdd(sum, __float2half(1.0f));
  atomicAdd(sums, __floats2half2_rn(1.0f, 2.0f));
}

// D = A B + C of row-major matrices, n a multiple of 16; a tile of 16 x 16 a warp.
extern "C" __global__ void multiply(const __half* a, const __half* b, const float* c, float* d,
                                    int n) {
  using namespace nvcuda::wmma;
  const int row = blockIdx.y * 16, column = blockIdx.x * 16;
  fragment<accumulator, 16, 16, 16, float> sum;
  load_matrix_sync(sum, c + row * n + column, n, mem_row_major);
  for (int k = 0; k < n; k += 16) {
    fragment<matrix_a, 16, 16, 16, __half, row_major> a_tile;
    fragment<matrix_b, 16, 16, 16, __half, row_major> b_tile;
    load_matrix_sync(a_tile, a + row * n + k, n);
    load_matrix_sync(b_tile, b + k * n + column, n);
    mma_sync(sum, a_tile, b_tile, sum);
  }
  for (int i = 0; i < sum.num_elements; ++i) sum.x[i] *= 2;
  store_matrix_sync(d + row * n + column, sum, n, mem_row_major);
}
