// One instruction of a tensor core a block, d = a * b + c, on matrices in global memory:
//   a [kRows][8] words, b [8][8] words: a row of a and a column of b are 32 bytes in every type;
//   c and d [kRows][kColumns] words: 8 columns of fp32, or of fp16 in pairs.
// Before this text: WGMMA (0: mma.sync, 1: wgmma), ACCUMULATORS (registers of d: 4 for fp32, 2 for
// fp16), INSTRUCTION (its opcode) and, for wgmma, IMMEDIATES (its last operands).
#if WGMMA
constexpr int kRows = 64;
#else
constexpr int kRows = 16;
#endif
constexpr int kColumns = 2 * ACCUMULATORS;

#if ACCUMULATORS == 4
#define DECLARE ".reg .f32 d<4>; "
#define TO_D "mov.b32 d0, %0; mov.b32 d1, %1; mov.b32 d2, %2; mov.b32 d3, %3; "
#define FROM_D "mov.b32 %0, d0; mov.b32 %1, d1; mov.b32 %2, d2; mov.b32 %3, d3; "
#define D "{d0, d1, d2, d3}"
#else
#define DECLARE ".reg .b32 d<2>; "
#define TO_D "mov.b32 d0, %0; mov.b32 d1, %1; "
#define FROM_D "mov.b32 %0, d0; mov.b32 %1, d1; "
#define D "{d0, d1}"
#endif

#if WGMMA
// Core matrices of 8 rows of 16 bytes, the two of 8 rows one after the other.
constexpr unsigned kCoreBytes = 128;

__device__ unsigned long long descriptor(const unsigned* matrix) {
  const unsigned long long start =
      static_cast<unsigned long long>(__cvta_generic_to_shared(matrix));
  constexpr unsigned long long kLeading = kCoreBytes, kStride = 2 * kCoreBytes;
  return start >> 4 | kLeading >> 4 << 16 | kStride >> 4 << 32;
}

__device__ void copy_matrix(unsigned* to, const unsigned* from, int rows) {
  for (int i = threadIdx.x; i < 8 * rows; i += 128) {
    const int row = i / 8, word = i % 8;
    to[row / 8 * 64 + word / 4 * 32 + row % 8 * 4 + word % 4] = from[i];
  }
}

__device__ void multiply(unsigned (&d)[4], const unsigned* a, const unsigned* b) {
  __shared__ __align__(1024) unsigned shared_a[64 * 8];
  __shared__ __align__(1024) unsigned shared_b[8 * 8];
  copy_matrix(shared_a, a, 64);
  copy_matrix(shared_b, b, 8);
  asm volatile("fence.proxy.async;" ::: "memory");
  __syncthreads();
  asm volatile("{ " DECLARE ".reg .pred p; setp.ne.b32 p, %6, 0; " TO_D
               "wgmma.fence.sync.aligned; "
               INSTRUCTION " " D ", %4, %5, p" IMMEDIATES "; "
               "wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0; " FROM_D "}"
               : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
               : "l"(descriptor(shared_a)), "l"(descriptor(shared_b)), "r"(1)
               : "memory");
}
#else
__device__ void multiply(unsigned (&d)[4], const unsigned* a, const unsigned* b) {
  const int g = threadIdx.x / 4, t = threadIdx.x % 4;
  const unsigned* upper = a + 8 * g + t;
  const unsigned* lower = upper + 8 * 8;
  const unsigned* column = b + 8 * g + t;
  asm volatile("{ " DECLARE TO_D
               INSTRUCTION " " D ", {%4, %5, %6, %7}, {%8, %9}, " D "; " FROM_D "}"
               : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
               : "r"(upper[0]), "r"(lower[0]), "r"(upper[4]), "r"(lower[4]), "r"(column[0]),
                 "r"(column[4]));
}
#endif

extern "C" __global__ void probe(const unsigned* a, const unsigned* b, const unsigned* c,
                                 unsigned* d) {
  a += blockIdx.x * kRows * 8;
  b += blockIdx.x * 8 * 8;
  const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  // A lane's words of d: in row g of its warp's 16 rows, then in row g + 8.
  constexpr int kWords = ACCUMULATORS / 2;
  const int first = (blockIdx.x * kRows + 16 * warp + g) * kColumns + t * kWords;
  unsigned words[4] = {};
  for (int i = 0; i < ACCUMULATORS; ++i)
    words[i] = c[first + i / kWords * 8 * kColumns + i % kWords];
  multiply(words, a, b);
  for (int i = 0; i < ACCUMULATORS; ++i)
    d[first + i / kWords * 8 * kColumns + i % kWords] = words[i];
}
