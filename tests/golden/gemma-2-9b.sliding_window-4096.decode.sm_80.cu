// Octavo 0.1.0: decode for sm_80. Generated; edit the spec or templates/ instead.
//
// Spec 81d0c9916c6c6864
//   octavo: 1
//   attention:
//     query_heads: 16
//     kv_heads: 8
//     head_dim: 256
//     mask: {sliding_window: 4096}
//     softmax_scale: 0.0625
//     softcap: 50
//     sinks: false
//     rope: {pairing: half, dims: 256, theta: 10000}
//   kv_cache:
//     format: e4m3
//     scale: token_head
//     layout: paged
//     page_size: 64
//   compute:
//     matmul: fp16
//     accumulation: {levels: 1}
//   input: bf16
//   output: bf16
//   kernels: [append, decode]
//
// Plan
//   warps: 4, stages: 2, tile_tokens: 16, row_tiles: 1, merge: fused
//   128 threads, 74752 bytes of dynamic shared memory

// ---- templates/arguments.cuh --------------------------------------------------------------------

// The arguments of every kernel, as the device reads them and as the host writes them: this file is
// compiled into both, so that the two can never disagree. All pointers are device addresses.
// Tensors start at multiples of 16 bytes, and strides are multiples of 8 elements, so that rows are
// read and written 16 bytes at a time.

namespace octavo {

using DeviceAddress = unsigned long long;

// One layer's KV cache.
//
//   paged       k: [pages, kv_heads, page_size, qk_dim]     v: [pages, kv_heads, page_size, v_dim]
//   contiguous  k: [batch, kv_heads, capacity, qk_dim]      v: [batch, kv_heads, capacity, v_dim]
//
// Scales are fp32 and multiply the stored values: real = stored * scale.
//   tensor      k_scale: [1]                                v_scale: [1]
//   head        k_scale: [kv_heads]                         v_scale: [kv_heads]
//   token_head  as k and v, without the last axis; powers of two, written by append
// A bf16 or fp16 cache has no scales.
struct KvCache {
  DeviceAddress k;
  DeviceAddress v;
  DeviceAddress k_scale;
  DeviceAddress v_scale;
  DeviceAddress page_table;  // int32 [batch, page_table_stride]: page of each page_size tokens,
                             // anything where there are none; paged. append writes nothing for
                             // tokens whose page is negative
  int page_table_stride;     // entries in a row of page_table; paged only
  int capacity;              // tokens a sequence may hold; contiguous only
};

// Which rows of a packed [tokens, heads, dim] tensor belong to which sequence, and how long each
// sequence is. The new tokens of sequence b are rows token_start[b] .. token_start[b + 1] - 1; they
// are its last ones: row r has position kv_length[b] - (token_start[b + 1] - r).
struct Batch {
  DeviceAddress token_start;  // int32 [sequences + 1], ascending, token_start[0] = 0
  DeviceAddress kv_length;    // int32 [sequences], tokens in the cache with the new ones included
  int sequences;
  int tokens;  // token_start[sequences]; times the query heads below 2^31
};

// K and V of the new tokens go to the cache. With RoPE, K is rotated on its way and Q is rotated
// from q to q_rotated, which may be the same memory; both are 0 where nobody asks for the tokens'
// queries, as with a context that is appended.
struct AppendArguments {
  KvCache cache;
  Batch batch;
  DeviceAddress q;          // [tokens, query_heads, qk_dim]; with RoPE only, or 0
  DeviceAddress q_rotated;  // as q, with q_stride too
  DeviceAddress k;          // [tokens, kv_heads, qk_dim]
  DeviceAddress v;          // [tokens, kv_heads, v_dim]
  DeviceAddress rope;       // fp32 [positions, rope dims / 2, 2]: cosine, sine; with RoPE only
  long long q_stride;       // elements from one token's row to the next
  long long k_stride;
  long long v_stride;
};

// Attention of the batch's tokens, which are already in the cache, over their sequences.
struct PrefillArguments {
  KvCache cache;
  Batch batch;
  DeviceAddress q;       // [tokens, query_heads, qk_dim]
  DeviceAddress output;  // [tokens, query_heads, v_dim], packed
  DeviceAddress lse;     // fp32 [tokens, query_heads]: natural logarithm of the softmax's
                         // denominator, the sink included; 0: not wanted
  DeviceAddress sinks;   // fp32 [query_heads], logits; with sinks only
  long long q_stride;    // elements from one token's row to the next
  float output_scale;    // an e4m3 output holds value / output_scale
};

// A CUtensorMap, as cuTensorMapEncodeTiled writes it.
struct alignas(64) TensorMap {
  unsigned long long words[16];
};

// What prefill's kernel is given: the maps say how K and V lie to the tensor memory accelerator.
// The C++ API makes them; who launches the kernel without it makes them for every cache. k_map is a
// tensor of rank 2 of CU_TENSOR_MAP_DATA_TYPE_UINT8 at cache.k, without interleaving and with zeros
// outside, whose
//   sizes are     {B, rows}, B the bytes of a row of K (qk_dim times those of an element) and rows
//                 batch * kv_heads * capacity if contiguous, 2^31 if paged: pages may be anywhere
//   strides are   {B}
//   boxes are     {P, kBoxRows}, P the most of 128, 64 and 32 that divides B, of element stride 1
//   swizzle is    CU_TENSOR_MAP_SWIZZLE_128B, 64B or 32B, by P
// v_map is the same of V. Where the source has no kBoxRows the maps are not read.
//
// A block takes the query rows (tokens times heads of a group) of one KV head: the first
// short_blocks blocks short_rows each, a multiple of 64, the others as many as the plan's block
// holds. Without short blocks all are right; with some the last multiprocessors are busier.
struct PrefillKernelArguments : PrefillArguments {
  TensorMap k_map;
  TensorMap v_map;
  int short_blocks;
  int short_rows;
};

// The same of few tokens a sequence, each sequence's tokens in parts.
struct DecodeArguments : PrefillArguments {
  int splits;                    // parts that each sequence's tokens are cut into
  DeviceAddress partial_output;  // fp32 [splits, tokens, query_heads, v_dim]; splits > 1 only
  DeviceAddress partial_sums;    // fp32 [splits, tokens, query_heads, ceil(v_dim / 64), 2]; as the
                                 // partial output zero before and after
  DeviceAddress arrivals;  // uint32, one a group of splits, zero before and after; fused merge
};

// What decode left in partial_output and partial_sums becomes output and lse.
using MergeArguments = DecodeArguments;

// ---- constants ----------------------------------------------------------------------------------

constexpr int kQueryHeads = 16;
constexpr int kKvHeads = 8;
constexpr int kHeadDimQk = 256;
constexpr int kHeadDimV = 256;
constexpr int kPageSize = 64;
constexpr int kGroup = 2;
constexpr int kRowTiles = 1;
constexpr int kThreads = 128;
constexpr int kWindow = 4096;
constexpr float kLogitScale = 0.0036067376f;
constexpr float kSoftcap = 72.134752f;
constexpr int kWarps = 4;
constexpr int kStages = 2;
constexpr int kTilesAhead = 1;
constexpr int kTileTokens = 16;
constexpr int kStageBytes = 8320;
constexpr int kValuePart = 128;
constexpr int kQueryOffset = 66560;
constexpr int kResidentBlocks = 2;

// ---- templates/ptx/multiply.cuh -----------------------------------------------------------------

// Products of pairs of 16-bit floats; subnormals count.

inline __device__ unsigned mul_rn_f16x2(unsigned a, unsigned b) {
  unsigned product;
  asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(product) : "r"(a), "r"(b));
  return product;
}

inline __device__ unsigned fma_rn_f16x2(unsigned a, unsigned b, unsigned c) {
  unsigned sum;
  asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(sum) : "r"(a), "r"(b), "r"(c));
  return sum;
}

inline __device__ unsigned fma_rn_bf16x2(unsigned a, unsigned b, unsigned c) {
  unsigned sum;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(sum) : "r"(a), "r"(b), "r"(c));
  return sum;
}

// Only sm_90 and later multiply without adding; adding -0 keeps the sign of zero.
inline __device__ unsigned mul_rn_bf16x2(unsigned a, unsigned b) {
  return fma_rn_bf16x2(a, b, 0x80008000);
}

// ---- templates/fp8_convert/integer.cuh ----------------------------------------------------------

// An fp8 number's bits, moved to where bf16 keeps its exponent and fraction, stand for the value
// times a power of two, subnormals included: one exact multiplication away from bf16.
struct Fp8ToBf16 {
  static __device__ unsigned bf16x2_from_e4m3x2(unsigned short pair) {
    return mul_rn_bf16x2(e4m3_fields(pair), 0x7b807b80);  // 2^120
  }
  static __device__ unsigned bf16x2_from_e5m2x2(unsigned short pair) {
    return mul_rn_bf16x2(e5m2_fields(pair), 0x77807780);  // 2^112
  }

  // bf16x2 of the values * 2^-120; the code of NaN becomes NaN.
  static __device__ unsigned e4m3_fields(unsigned short pair) {
    const unsigned bytes = __byte_perm(pair, 0, 0x1404);  // each in the upper byte of a half
    const unsigned magnitude = (bytes & 0x7f007f00) >> 4;
    const unsigned nan = (magnitude + 0x00100010) & 0x08000800;
    return (bytes & 0x80008000) | magnitude | ((nan << 4) - (nan >> 11));
  }
  // bf16x2 of the values * 2^-112; infinities and NaNs get bf16's exponent of such.
  static __device__ unsigned e5m2_fields(unsigned short pair) {
    const unsigned bytes = __byte_perm(pair, 0, 0x1404);
    const unsigned magnitude = (bytes & 0x7f007f00) >> 3;
    const unsigned special = (magnitude + 0x00800080) & 0x10001000;
    return (bytes & 0x80008000) | magnitude | ((special << 3) - (special >> 5));
  }
};

// fp8 in integer code, for architectures before sm_89: the same bits as their successors'
// instructions give, rounding, saturation, subnormals and NaN included.
struct Fp8Convert : Fp8ToBf16 {
  static __device__ unsigned short e4m3x2(float low, float high) {
    return static_cast<unsigned short>(e4m3(low) | e4m3(high) << 8);
  }
  static __device__ unsigned short e5m2x2(float low, float high) {
    return static_cast<unsigned short>(e5m2(low) | e5m2(high) << 8);
  }

  static __device__ unsigned f16x2_from_e4m3x2(unsigned short pair) {
    return mul_rn_f16x2(e4m3_fields_f16(pair), 0x5c005c00);  // 2^8
  }
  static __device__ unsigned f16x2_from_e5m2x2(unsigned short pair) {
    // e5m2 is the upper byte of fp16; the multiplication makes every NaN the canonical one.
    return mul_rn_f16x2(__byte_perm(pair, 0, 0x1404), 0x3c003c00);
  }

  static __device__ unsigned e4m3(float value) { return fp8<3, 7, 0x7e>(value); }
  static __device__ unsigned e5m2(float value) { return fp8<2, 15, 0x7b>(value); }

  // f16x2 of the values * 2^-8, by their bits alone; the code of NaN becomes NaN.
  static __device__ unsigned e4m3_fields_f16(unsigned short pair) {
    const unsigned bytes = __byte_perm(pair, 0, 0x1404);  // each in the upper byte of a half
    const unsigned magnitude = (bytes & 0x7f007f00) >> 1;
    const unsigned nan = (magnitude + 0x00800080) & 0x40004000;
    return (bytes & 0x80008000) | magnitude | ((nan << 1) - (nan >> 14));
  }

 private:
  template <int kFractionBits, int kBias, unsigned kLargest>
  static __device__ unsigned fp8(float value) {
    constexpr int kDropped = 23 - kFractionBits;
    constexpr unsigned kSmallestNormal = (127u + 1 - kBias) << 23;
    const unsigned bits = __float_as_uint(value);
    const unsigned magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return 0x7f;
    unsigned code;
    if (magnitude < kSmallestNormal) {
      // Adding the power of two whose last place is the smallest subnormal rounds to a multiple of
      // it, which then stands in the sum's last bits.
      constexpr unsigned kMagic = (127u + 24 - kBias - kFractionBits) << 23;
      code = __float_as_uint(__uint_as_float(magnitude) + __uint_as_float(kMagic)) - kMagic;
    } else {
      const unsigned odd = magnitude >> kDropped & 1;
      const unsigned rounded = magnitude + (1u << (kDropped - 1)) - 1 + odd;
      code = (rounded >> kDropped) - ((127u - kBias) << kFractionBits);
      code = code < kLargest ? code : kLargest;
    }
    return (bits >> 24 & 0x80) | code;
  }
};

// ---- templates/format/e4m3.cuh ------------------------------------------------------------------

struct E4m3 {
  static constexpr int kBytes = 1;
  static constexpr int kMaxExponent = 8;  // the largest finite value is 1.75 * 2^8

  // Eight values become the words that memory holds for them, by the fp8_convert policy.
  static __device__ void pack(unsigned (&words)[2], const float (&values)[8]) {
    for (int i = 0; i < 2; ++i) {
      const unsigned low = Fp8Convert::e4m3x2(values[4 * i], values[4 * i + 1]);
      const unsigned high = Fp8Convert::e4m3x2(values[4 * i + 2], values[4 * i + 3]);
      words[i] = low | high << 16;
    }
  }

  // Two values as a pair of 16-bit floats, exactly.
  static __device__ unsigned f16x2(unsigned short pair) {
    return Fp8Convert::f16x2_from_e4m3x2(pair);
  }
  static __device__ unsigned bf16x2(unsigned short pair) {
    return Fp8Convert::bf16x2_from_e4m3x2(pair);
  }
};

// ---- templates/cache/e4m3.cuh -------------------------------------------------------------------

using Cache = E4m3;  // what the KV cache holds

// ---- templates/scale/token_head.cuh -------------------------------------------------------------

// A scale for each token and KV head: the least power of two that brings the row's largest
// magnitude within the format's finite values. In a floating-point format a power of two costs no
// accuracy against any other scale, dividing by it is exact, and so is folding V's scales into the
// softmax weights.
struct Scale {
  // Whether a row has a scale of its own, at scales[row].
  static constexpr bool kPerToken = true;

  // What all rows of a KV head are multiplied by.
  static __device__ float of_head(DeviceAddress, int) { return 1; }

  // The scale for a row that kLanes neighbouring lanes hold, eight values each. Infinities and NaNs
  // do not count, so that they harm no value but themselves: an infinity is stored as the row's
  // largest value and a NaN as NaN. A row of zeros has scale 1. The scale is at least 2^-126, and
  // no row calls for more than 2^120, so that the scale and its reciprocal are normal numbers.
  template <int kLanes>
  static __device__ float of_row(DeviceAddress, int, const float (&values)[8]) {
    float largest = 0;
    for (float value : values) largest = fmaxf(largest, fabsf(value));  // which skips NaNs
    if (largest > kLargestFloat) {
      largest = 0;
      for (float value : values) {
        if (fabsf(value) <= kLargestFloat) largest = fmaxf(largest, fabsf(value));
      }
    }
    for (int mask = kLanes / 2; mask > 0; mask /= 2) {
      largest = fmaxf(largest, __shfl_xor_sync(0xffffffff, largest, mask));
    }
    if (largest == 0) return 1;
    // Up to a fraction of 1.75, that of the largest finite value, the exponents subtract; above it
    // the sum carries into the exponent.
    const int exponent = static_cast<int>((__float_as_uint(largest) + 0x1fffff) >> 23);
    return __uint_as_float(max(exponent - Cache::kMaxExponent, 1) << 23);
  }

  static __device__ float reciprocal(float scale) {
    return __uint_as_float((254u << 23) - __float_as_uint(scale));
  }

  static __device__ void store(DeviceAddress scales, long long row, float scale) {
    reinterpret_cast<float*>(scales)[row] = scale;
  }

 private:
  static constexpr float kLargestFloat = 0x1.fffffep127f;
};

// ---- templates/kv/paged.cuh ---------------------------------------------------------------------

// A sequence's tokens lie in pages of kPageSize, which the page table names.
struct KvLayout {
  // The row of a token's K and V: K starts at k + row * bytes of a K row, V at v + row * bytes of a
  // V row, and its scales, where every row has its own, are k_scale[row] and v_scale[row]. Negative
  // where the page table's entry is.
  static __device__ long long row(const KvCache& cache, int sequence, int kv_head, int token) {
    return row_in(page(cache, sequence, token), cache, sequence, kv_head, token);
  }

  // The same in two steps: what is read for it, negative where the page table's entry is, and what
  // is computed then.
  static __device__ int page(const KvCache& cache, int sequence, int token) {
    const int* pages = reinterpret_cast<const int*>(cache.page_table) +
                       static_cast<long long>(sequence) * cache.page_table_stride;
    return pages[static_cast<unsigned>(token) / kPageSize];  // unsigned is the shorter code
  }
  static __device__ long long row_in(long long page, const KvCache&, int, int kv_head, int token) {
    return (page * kKvHeads + kv_head) * kPageSize + static_cast<unsigned>(token) % kPageSize;
  }

  // Tokens that a sequence may have.
  static __device__ long long capacity(const KvCache& cache) {
    return static_cast<long long>(cache.page_table_stride) * kPageSize;
  }

  // From a token's row of one KV head to its row of the next.
  static __device__ long long head_stride(const KvCache&) { return kPageSize; }
};

// ---- templates/ptx/convert.cuh ------------------------------------------------------------------

// Conversions between fp32 and the 16-bit formats. A pair's low half comes first.

inline __device__ unsigned cvt_rn_f16x2_f32(float low, float high) {
  unsigned pair;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

inline __device__ unsigned cvt_rn_bf16x2_f32(float low, float high) {
  unsigned pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

inline __device__ float cvt_f32_f16(unsigned short half) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half));
  return value;
}

// ---- templates/format/bf16.cuh ------------------------------------------------------------------

struct Bf16 {
  static constexpr int kBytes = 2;

  // Eight values and the words that memory holds for them.
  static __device__ void pack(unsigned (&words)[4], const float (&values)[8]) {
    for (int i = 0; i < 4; ++i) words[i] = cvt_rn_bf16x2_f32(values[2 * i], values[2 * i + 1]);
  }
  static __device__ void unpack(float (&values)[8], const unsigned (&words)[4]) {
    for (int i = 0; i < 4; ++i) {  // bf16 is the upper half of fp32
      values[2 * i] = __uint_as_float(words[i] << 16);
      values[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000);
    }
  }
};

// ---- templates/input/bf16.cuh -------------------------------------------------------------------

using Input = Bf16;  // what q, k and v are

// ---- templates/ptx/mma.cuh ----------------------------------------------------------------------

// Warp-wide matrix products d = a * b + d with fp32 accumulators. a is 16 rows, b is 8 columns;
// with g = lane / 4 and t = lane % 4, a lane holds rows g and g + 8 of a, column g of b, and of d
// columns 2t, 2t + 1 of row g (d[0], d[1]) and of row g + 8 (d[2], d[3]).

inline __device__ void mma_m16n8k16_f16(float (&d)[4], const unsigned (&a)[4],
                                        const unsigned (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

inline __device__ void mma_m16n8k16_bf16(float (&d)[4], const unsigned (&a)[4],
                                         const unsigned (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// ---- templates/ptx/mov.cuh ----------------------------------------------------------------------

// Moves of what is no whole register.

// A shift would be an instruction of its own: the instructions that read a half can be told which.
inline __device__ unsigned short mov_b32_high(unsigned word) {
  unsigned short high;
  asm("{\n\t.reg .b16 low;\n\tmov.b32 {low, %0}, %1;\n\t}" : "=h"(high) : "r"(word));
  return high;
}

// The lane's number, read anew: what is computed from it is not kept in registers from one time to
// the next.
inline __device__ int mov_laneid() {
  int lane;
  asm volatile("mov.u32 %0, %%laneid;" : "=r"(lane));
  __builtin_assume(lane >= 0 && lane < 32);
  return lane;
}

// The same of the thread's number.
inline __device__ int mov_tid_x() {
  int thread;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
  __builtin_assume(thread >= 0 && thread < 1024);
  return thread;
}

// ---- templates/mma/fp16.cuh ---------------------------------------------------------------------

// What the tensor cores multiply: fp16, 16 deep.
struct Mma {
  static constexpr int kStepTokens = 16;  // depth of one product
  static constexpr int kPack = 2;         // values of a register
  // The softmax weight of a row's largest logit, rounded up, is 2^kWeightExponent: it is far from
  // fp16's largest value, and weights down to 2^-26 of it keep all their bits.
  static constexpr int kWeightExponent = 12;
  static constexpr float kQueryLimit = 0;  // queries need no scale

  static __device__ unsigned pack(const float (&values)[2]) {
    return cvt_rn_f16x2_f32(values[0], values[1]);
  }

  // Of a row's weights in a tile, as they were rounded.
  struct WeightSum {
    float sum = 0;
    __device__ void add(unsigned pair) {
      sum += cvt_f32_f16(pair & 0xffff);
      sum += cvt_f32_f16(mov_b32_high(pair));
    }
    __device__ float value() const { return sum; }
  };

  // Softmax weights as an operand, each times its ratio, a power of two up to 1. The product is
  // exact.
  static __device__ unsigned weights(const float (&values)[2], const float (&ratio)[2],
                                     WeightSum& sum) {
    const unsigned pair = pack(values);
    sum.add(pair);
    return Scale::kPerToken ? mul_rn_f16x2(pair, pack(ratio)) : pair;
  }

  // Two fp8 values as an operand.
  template <class Format>
  static __device__ unsigned from_fp8(unsigned short pair) {
    return Format::f16x2(pair);
  }

  static __device__ void multiply(float (&sum)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    mma_m16n8k16_f16(sum, a, b);
  }
};

// ---- templates/operand/converted.cuh ------------------------------------------------------------

// The words of an fp8 cache as the second operand of 16-bit products, into which fp8 fits exactly.
struct Operand {
  static constexpr int kStepWords = 1;  // words of a K row that a lane multiplies in one product

  static __device__ void keys(unsigned (&b)[2], const unsigned (&words)[1]) {
    b[0] = Mma::from_fp8<Cache>(words[0]);
    b[1] = Mma::from_fp8<Cache>(mov_b32_high(words[0]));
  }

  // One word, four dims, of V's tokens 2t, 2t + 1, 2t + 8 and 2t + 9: the operand of each dim.
  static __device__ void values(unsigned (&b)[4][2], const unsigned (&words)[4]) {
    for (int pair = 0; pair < 2; ++pair) {
      const unsigned low = __byte_perm(words[2 * pair], words[2 * pair + 1], 0x5140);
      const unsigned high = __byte_perm(words[2 * pair], words[2 * pair + 1], 0x7362);
      b[0][pair] = Mma::from_fp8<Cache>(low);
      b[1][pair] = Mma::from_fp8<Cache>(mov_b32_high(low));
      b[2][pair] = Mma::from_fp8<Cache>(high);
      b[3][pair] = Mma::from_fp8<Cache>(mov_b32_high(high));
    }
  }
};

// ---- templates/accumulate/one_level.cuh ---------------------------------------------------------

// Products are summed by the tensor cores, from the first token to the last.
struct Accumulation {
  static __device__ void multiply(float (&sum)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    Mma::multiply(sum, a, b);
  }
};

// ---- templates/mask/sliding_window.cuh ----------------------------------------------------------

// The tokens first..end - 1 that a query token sees, by its position: itself and those before it,
// kWindow of them in all.
struct Mask {
  static __device__ int first(int position) { return max(position + 1 - kWindow, 0); }
  static __device__ int end(int position, int) { return position + 1; }
};

// ---- templates/ptx/special.cuh ------------------------------------------------------------------

// The special function unit: relative error about 2^-22, subnormals flushed to zero.

inline __device__ float ex2_approx_ftz(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

inline __device__ float lg2_approx_ftz(float x) {
  float result;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

inline __device__ float rcp_approx_ftz(float x) {
  float result;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

// ---- templates/softcap/tanh.cuh -----------------------------------------------------------------

// Logits x become softcap * tanh(x / softcap). kLogitScale is softmax_scale * 2 log2(e) / softcap
// and kSoftcap is softcap * log2(e), so that with tanh(z) = 1 - 2 / (1 + exp(2z)) a logit in base 2
// is one ex2 and one rcp away. Its absolute error is kSoftcap * 2^-22; tanh.approx, with a relative
// error of 2^-11, would cost a logit of 10 half a percent of its weight.
struct Softcap {
  static constexpr bool kOn = true;
  static __device__ float apply(float logit) {
    return fmaf(-2 * kSoftcap, rcp_approx_ftz(1 + ex2_approx_ftz(logit)), kSoftcap);
  }
};

// ---- templates/attention/rows.cuh ---------------------------------------------------------------

constexpr int kRows = 16 * kRowTiles;  // of a block

inline __device__ int lane_id() { return threadIdx.x % 32; }
inline __device__ int warp_id() { return threadIdx.x / 32; }

inline __device__ float minus_infinity() { return __uint_as_float(0xff800000); }

// Where nothing has been seen yet, exponents are taken from 0 instead of minus infinity.
inline __device__ float finite(float maximum) { return maximum == minus_infinity() ? 0 : maximum; }

// The largest and the sum over the four lanes that share rows.
inline __device__ float quad_max(float value) {
  value = fmaxf(value, __shfl_xor_sync(0xffffffff, value, 1));
  return fmaxf(value, __shfl_xor_sync(0xffffffff, value, 2));
}
inline __device__ float quad_sum(float value) {
  value += __shfl_xor_sync(0xffffffff, value, 1);
  return value + __shfl_xor_sync(0xffffffff, value, 2);
}

// The queries of a block. A sequence's query tokens and the query heads that share a KV head are
// rows of one matrix: row r is token r / kGroup with head r % kGroup. A block takes kRows of them.
struct Rows {
  int sequence;
  int kv_head;
  int first;           // the block's first row
  int count;           // its rows; none or less where the sequence has no such rows
  int token_start;     // the sequence's first query token in the batch
  int first_position;  // and that token's position in the sequence
  int kv_length;

  __device__ int token(int row) const { return token_start + (first + row) / kGroup; }
  __device__ int head(int row) const { return kv_head * kGroup + (first + row) % kGroup; }
  __device__ int position(int row) const { return first_position + (first + row) / kGroup; }
};

// Those from row `first` on of a sequence's queries on one KV head.
inline __device__ Rows rows_from(const Batch& batch, int sequence, int kv_head, int first) {
  const int* token_start = reinterpret_cast<const int*>(batch.token_start) + sequence;
  const int tokens = token_start[1] - token_start[0];
  const int kv_length = reinterpret_cast<const int*>(batch.kv_length)[sequence];
  Rows rows;
  rows.sequence = sequence;
  rows.kv_head = kv_head;
  rows.first = first;
  rows.count = min(tokens * kGroup - rows.first, kRows);
  rows.token_start = token_start[0];
  rows.first_position = kv_length - tokens;
  rows.kv_length = kv_length;
  return rows;
}

// blockIdx of decode: x split, y row block and KV head, z sequence.
inline __device__ Rows rows_of_block(const Batch& batch) {
  return rows_from(batch, blockIdx.z, blockIdx.y % kKvHeads, blockIdx.y / kKvHeads * kRows);
}

// Where in a [tokens, query_heads] tensor a row is.
inline __device__ long long index_of(const Rows& rows, int row) {
  return static_cast<long long>(rows.token(row)) * kQueryHeads + rows.head(row);
}

// ---- templates/attention/tile.cuh ---------------------------------------------------------------

// A warp works on tiles of kTileTokens tokens, which lie in shared memory as rows of 16-byte units:
// first K's rows, then V's, then, where each token has scales of its own, K's scales and V's.
constexpr int kWordDims = 4 / Cache::kBytes;  // values of a 4-byte word
constexpr int kKeyUnits = kHeadDimQk * Cache::kBytes / 16;
constexpr int kValueUnits = kHeadDimV * Cache::kBytes / 16;
constexpr int kValuesOffset = kTileTokens * kKeyUnits * 16;
constexpr int kKeyScalesOffset = kValuesOffset + kTileTokens * kValueUnits * 16;
constexpr int kValueScalesOffset = kKeyScalesOffset + kTileTokens * 4;
static_assert(kTileTokens % Mma::kStepTokens == 0, "a tile is whole products of P and V");
static_assert(kStageBytes >=
              (Scale::kPerToken ? kValueScalesOffset + kTileTokens * 4 : kKeyScalesOffset));

// Where a unit of a row is, so that no access below has a bank conflict where a row is a multiple
// of 64 bytes. Shared memory serves 8 lanes of 16 bytes at a time, one for each of the 8 units of
// 128 bytes; with g = lane / 4 and t = lane % 4 they are
//   K: rows 2i and 2i + 1, units 4c + t     V: rows 2t (or 2t + 1), units 2i and 2i + 1
// Rows of 128 bytes: exchanging units by bits 1 and 2 of the row number parts V's rows, and
// flipping bit 2 in odd rows parts K's. Rows of 64 (mod 128) bytes: odd rows start at bank 16,
// which parts K's rows already. Other rows start at banks different enough.
template <int kUnits>
inline __device__ int row_swizzle(int row) {
  if constexpr (kUnits % 8 == 0) return (row & 6) ^ (row & 1) << 2;
  if constexpr (kUnits % 8 == 4) return row & 6;
  return 0;
}

// Unit `unit + constant` of a row, two numbers that share no bit: the lane's part is computed once
// for all constants.
template <int kUnits>
inline __device__ int unit_index(int row, int unit, int constant) {
  const int lane = row * kUnits + unit;
  if constexpr (kUnits % 8 == 0) {
    return (lane ^ row_swizzle<kUnits>(row) ^ (constant & 7)) + (constant & ~7);
  }
  return (lane + constant) ^ row_swizzle<kUnits>(row);
}

// As `^` changes nothing above bit 2 and rows 8 apart are a multiple of 8 units apart, a lane's
// rows 8 apart are at constant distances.
template <int kUnits>
constexpr int kEightRowsBytes = 8 * kUnits * 16;

// ---- templates/tile_rows/adjacent.cuh -----------------------------------------------------------

// Where in the cache a tile's rows are: one after another, as no tile crosses a page. A layer's
// rows number fewer than 2^31.
struct TileRows {
  int first = 0;
  int count = 0;

  // Starts to find the tile at `token`, of which the rows before `end` are wanted. Each lane finds
  // one of the warp's tiles from this one on, `stride` tokens apart, so that only every 32nd call
  // reads memory. It does not wait for `end`: the page of a token that is not there is read, and
  // nothing else of it.
  __device__ void look_up(const KvCache& cache, const Rows& rows, int token, int stride, int end) {
    count = end - token;
    next_ = (next_ + 1) % 32;
    if (next_ > 0) return;
    const int of_lane = token + lane_id() * stride;
    found_ = -1;
    if (of_lane < KvLayout::capacity(cache)) {
      found_ = static_cast<int>(KvLayout::row(cache, rows.sequence, rows.kv_head, of_lane));
    }
  }

  // Waits for what look_up started.
  __device__ void wait() {
    first = __shfl_sync(0xffffffff, found_, next_);
    if (first < 0) first = count = 0;  // no such page
  }

 private:
  int found_ = -1;  // the first row of the lane's tile
  int next_ = 31;   // the lane whose tile is next
};

// A tile's rows of kUnits units each, counted through; the lane's are lane, lane + 32, ...
template <int kUnits, int kUnitBytes = 16>
class TileUnits {
 public:
  __device__ TileUnits(const TileRows& rows, DeviceAddress cache)
      : lane_(cache + (static_cast<long long>(rows.first) * kUnits + lane_id()) * kUnitBytes),
        wanted_(rows.count * kUnits - lane_id()) {}

  // Unit i + lane; where it is not wanted, nothing is to be read from its address.
  __device__ DeviceAddress address(int i) const { return lane_ + i * kUnitBytes; }
  __device__ bool exists(int i) const { return i < wanted_; }

 private:
  DeviceAddress lane_;
  int wanted_;
};

// ---- templates/ptx/memory.cuh -------------------------------------------------------------------

// Loads and stores of global memory, 4 to 32 bytes a lane, at most 16 at once.

inline __device__ void ld_global(unsigned (&words)[1], unsigned long long address) {
  asm volatile("ld.global.u32 %0, [%1];" : "=r"(words[0]) : "l"(address) : "memory");
}

inline __device__ void ld_global(unsigned (&words)[2], unsigned long long address) {
  asm volatile("ld.global.v2.u32 {%0, %1}, [%2];"
               : "=r"(words[0]), "=r"(words[1])
               : "l"(address)
               : "memory");
}

inline __device__ void ld_global(unsigned (&words)[4], unsigned long long address) {
  asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "l"(address)
               : "memory");
}

inline __device__ void ld_global(float (&values)[4], unsigned long long address) {
  asm volatile("ld.global.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(values[0]), "=f"(values[1]), "=f"(values[2]), "=f"(values[3])
               : "l"(address)
               : "memory");
}

inline __device__ void ld_global(unsigned (&words)[8], unsigned long long address) {
  asm volatile(
      "ld.global.v4.u32 {%0, %1, %2, %3}, [%8];\n\t"
      "ld.global.v4.u32 {%4, %5, %6, %7}, [%8 + 16];"
      : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3]), "=r"(words[4]),
        "=r"(words[5]), "=r"(words[6]), "=r"(words[7])
      : "l"(address)
      : "memory");
}

inline __device__ void st_global(unsigned long long address, const unsigned (&words)[1]) {
  asm volatile("st.global.u32 [%0], %1;" ::"l"(address), "r"(words[0]) : "memory");
}

inline __device__ void st_global(unsigned long long address, const unsigned (&words)[2]) {
  asm volatile("st.global.v2.u32 [%0], {%1, %2};" ::"l"(address), "r"(words[0]), "r"(words[1])
               : "memory");
}

inline __device__ void st_global(unsigned long long address, const unsigned (&words)[4]) {
  asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(address), "r"(words[0]),
               "r"(words[1]), "r"(words[2]), "r"(words[3])
               : "memory");
}

inline __device__ void st_global(unsigned long long address, const unsigned (&words)[8]) {
  asm volatile(
      "st.global.v4.u32 [%0], {%1, %2, %3, %4};\n\t"
      "st.global.v4.u32 [%0 + 16], {%5, %6, %7, %8};" ::"l"(address),
      "r"(words[0]), "r"(words[1]), "r"(words[2]), "r"(words[3]), "r"(words[4]), "r"(words[5]),
      "r"(words[6]), "r"(words[7])
      : "memory");
}

// ---- templates/attention/query.cuh --------------------------------------------------------------

// S = Q K^T sums over the head dim in any order, as long as Q and K agree on it: here it is the
// order in which a lane's 16-byte loads of K give it, so that K needs no rearranging. Lane (g, t)
// loads of token g's row, for each 64 bytes, the 16 bytes 16t..; of a row's last 16 to 48 bytes,
// the 4 bytes 4t.. of each unit.
constexpr int kKeyChunks = kKeyUnits / 4;  // of 64 bytes
constexpr int kKeyTail = kKeyUnits % 4;    // units after the last chunk
constexpr int kKeyWords = kKeyUnits;       // 4-byte words that a lane loads of a row
constexpr int kKeySteps = (kKeyWords + Operand::kStepWords - 1) / Operand::kStepWords;

// The first dim of a lane's word.
inline __device__ int dim_of_word(int word) {
  const int t = threadIdx.x % 4;
  const int byte =
      word < 4 * kKeyChunks ? word / 4 * 64 + t * 16 + word % 4 * 4 : word * 16 + t * 4;
  return byte / Cache::kBytes;
}

// What a product takes of the lane's two rows, as the input has it.
constexpr int kRawWords = kWordDims * Input::kBytes / 4;
using QueryWords = unsigned[2][Operand::kStepWords][kRawWords];

// The lane's two rows of a row tile, 16 * tile + g and 8 more. Rows beyond the block's repeat its
// last one; no one looks at what becomes of them.
struct QueryRows {
  DeviceAddress q[2];
  float scale[2];  // of what is multiplied; 1 where queries need none

  QueryRows() = default;
  __device__ QueryRows(const DecodeArguments& arguments, const Rows& rows, int tile) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = min(16 * tile + lane_id() / 4 + 8 * half, rows.count - 1);
      const long long element = rows.token(row) * arguments.q_stride +
                                rows.head(row) * static_cast<long long>(kHeadDimQk);
      q[half] = arguments.q + element * Input::kBytes;
      scale[half] = 1;
      if constexpr (Mma::kQueryLimit > 0) {
        scale[half] = largest(half) * (1 / Mma::kQueryLimit);
        reciprocal_[half] = 1 / fmaxf(scale[half], 0x1p-126f);
      }
    }
  }

  // Starts to read what a product takes. Its last word may be beyond the row's end: zeros.
  __device__ void read(QueryWords& words, int step) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      for (int i = 0; i < Operand::kStepWords; ++i) {
        const int word = step * Operand::kStepWords + i;
        for (unsigned& raw : words[half][i]) raw = 0;
        if (kKeyWords % Operand::kStepWords != 0 && word >= kKeyWords) continue;
        ld_global(words[half][i], q[half] + dim_of_word(word) * Input::kBytes);
      }
    }
  }

  // The first operand of the product.
  __device__ void fragment(unsigned (&a)[4], const QueryWords& words) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float values[2 * Mma::kPack];
#pragma unroll
      for (int i = 0; i < Operand::kStepWords; ++i) {
        float unpacked[kWordDims];
        unpack(unpacked, words[half][i]);
        for (int j = 0; j < kWordDims; ++j) values[i * kWordDims + j] = scaled(unpacked[j], half);
      }
      a[half] = pack(values, 0);
      a[half + 2] = pack(values, Mma::kPack);
    }
  }

 private:
  static __device__ void unpack(float (&values)[kWordDims], const unsigned (&raw)[kRawWords]) {
    unsigned words[2 * Input::kBytes] = {};  // formats unpack eight
    for (int i = 0; i < kRawWords; ++i) words[i] = raw[i];
    float all[8];
    Input::unpack(all, words);
    for (int i = 0; i < kWordDims; ++i) values[i] = all[i];
  }

  __device__ float largest(int half) const {
    float result = 0;
#pragma unroll
    for (int word = 0; word < kKeyWords; ++word) {
      unsigned raw[kRawWords];
      ld_global(raw, q[half] + dim_of_word(word) * Input::kBytes);
      float values[kWordDims];
      unpack(values, raw);
      for (float value : values) result = fmaxf(result, fabsf(value));
    }
    result = fmaxf(result, __shfl_xor_sync(0xffffffff, result, 1));
    return fmaxf(result, __shfl_xor_sync(0xffffffff, result, 2));
  }

  __device__ float scaled(float value, int half) const {
    if constexpr (Mma::kQueryLimit == 0) return value;
    return value * reciprocal_[half];
  }

  static __device__ unsigned pack(const float (&values)[2 * Mma::kPack], int first) {
    float part[Mma::kPack];
    for (int i = 0; i < Mma::kPack; ++i) part[i] = values[first + i];
    return Mma::pack(part);
  }

  float reciprocal_[2];  // of scale; where queries need one
};

// ---- templates/query/shared.cuh -----------------------------------------------------------------

// The queries as operands, held in shared memory where they would take too many registers. The
// warps convert a part each.
class Query {
 public:
  static constexpr int kChunksAtOnce = 1;  // of K's rows: there are few registers to spare

  // Starts to read the warp's part.
  __device__ Query(const DecodeArguments& arguments, const Rows& rows, uint4* operands)
      : operands_(operands + lane_id()) {
#pragma unroll
    for (int tile = 0; tile < kRowTiles; ++tile) {
      rows_[tile] = QueryRows(arguments, rows, tile);
      for (int half = 0; half < 2; ++half) scale[tile][half] = rows_[tile].scale[half];
#pragma unroll
      for (int i = 0; i < kWarpSteps; ++i) {
        if (step(i) < kKeySteps) rows_[tile].read(words_[tile][i], step(i));
      }
    }
  }

  // Once the first copies are on their way.
  __device__ void convert() {
#pragma unroll
    for (int tile = 0; tile < kRowTiles; ++tile) {
#pragma unroll
      for (int i = 0; i < kWarpSteps; ++i) {
        if (step(i) >= kKeySteps) continue;
        unsigned a[4];
        rows_[tile].fragment(a, words_[tile][i]);
        operands_[(tile * kKeySteps + step(i)) * 32] = make_uint4(a[0], a[1], a[2], a[3]);
      }
    }
    __syncthreads();
  }

  __device__ void operand(unsigned (&a)[4], int tile, int step) const {
    const uint4 words = operands_[(tile * kKeySteps + step) * 32];
    a[0] = words.x, a[1] = words.y, a[2] = words.z, a[3] = words.w;
  }

  float scale[kRowTiles][2];  // of the lane's rows

 private:
  static constexpr int kWarpSteps = (kKeySteps + kWarps - 1) / kWarps;

  static __device__ int step(int i) { return warp_id() + i * kWarps; }

  QueryRows rows_[kRowTiles];
  QueryWords words_[kRowTiles][kWarpSteps];
  uint4* operands_;  // [kRowTiles][kKeySteps][32 lanes]
};

// ---- templates/launch/serial.cuh ----------------------------------------------------------------

// How grids of a stream follow each other: the next one begins when this one has ended.
struct Launch {
  static constexpr bool kOverlaps = false;

  static __device__ void wait() {}
  static __device__ void let_next_begin() {}
};

// ---- templates/output/bf16.cuh ------------------------------------------------------------------

// What the output holds.
struct Output : Bf16 {
  static __device__ float scaled(float value, float) { return value; }
};

// ---- templates/sinks/none.cuh -------------------------------------------------------------------

// What joins the softmax's denominator besides the tokens: nothing.
struct Sinks {
  static __device__ float join(const PrefillArguments&, int, float&) { return 1; }
};

// ---- templates/ptx/relaxed.cuh ------------------------------------------------------------------

// Loads, stores and increments of words that other blocks of the device write or read meanwhile:
// each word is seen whole, old or new, and nothing is said about the others.

// Words that are not wanted are `otherwise`.
inline __device__ unsigned long long ld_relaxed_gpu_if(bool wanted,
                                                       const unsigned long long* address,
                                                       unsigned long long otherwise) {
  unsigned long long word = otherwise;
  asm volatile(
      "{\n\t"
      ".reg .pred p;\n\t"
      "setp.ne.s32 p, %2, 0;\n\t"
      "@p ld.relaxed.gpu.global.u64 %0, [%1];\n\t"
      "}"
      : "+l"(word)
      : "l"(__cvta_generic_to_global(address)), "r"(static_cast<int>(wanted))
      : "memory");
  return word;
}

inline __device__ ulonglong2 ld_relaxed_gpu_if(bool wanted, const ulonglong2* address,
                                               unsigned long long otherwise) {
  ulonglong2 words = {otherwise, otherwise};
  asm volatile(
      "{\n\t"
      ".reg .pred p;\n\t"
      "setp.ne.s32 p, %3, 0;\n\t"
      "@p ld.relaxed.gpu.global.v2.u64 {%0, %1}, [%2];\n\t"
      "}"
      : "+l"(words.x), "+l"(words.y)
      : "l"(__cvta_generic_to_global(address)), "r"(static_cast<int>(wanted))
      : "memory");
  return words;
}

inline __device__ void st_relaxed_gpu(unsigned long long* address, unsigned long long word) {
  asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" ::"l"(__cvta_generic_to_global(address)),
               "l"(word)
               : "memory");
}

inline __device__ void st_zero_global_if(bool wanted, unsigned long long* address) {
  asm volatile(
      "{\n\t"
      ".reg .pred p;\n\t"
      "setp.ne.s32 p, %1, 0;\n\t"
      "@p st.global.u64 [%0], 0;\n\t"
      "}" ::"l"(__cvta_generic_to_global(address)),
      "r"(static_cast<int>(wanted))
      : "memory");
}

inline __device__ void st_zero_global_if(bool wanted, ulonglong2* address) {
  asm volatile(
      "{\n\t"
      ".reg .pred p;\n\t"
      "setp.ne.s32 p, %1, 0;\n\t"
      "@p st.global.v2.u64 [%0], {0, 0};\n\t"
      "}" ::"l"(__cvta_generic_to_global(address)),
      "r"(static_cast<int>(wanted))
      : "memory");
}

// The word goes 0, 1, ... last, 0, ...; returns what it was before.
inline __device__ unsigned atom_relaxed_inc(unsigned long long address, unsigned last) {
  unsigned before;
  asm volatile("atom.relaxed.gpu.global.inc.u32 %0, [%1], %2;"
               : "=r"(before)
               : "l"(address), "r"(last)
               : "memory");
  return before;
}

// ---- templates/merge/fused.cuh ------------------------------------------------------------------

// The splits' parts are merged by the block that starts last: the others run or have ended by then,
// so that it may wait for what they write. Who that is is asked for long before it matters.
class Merge {
 public:
  __device__ void start(const DecodeArguments& arguments) {
    if (threadIdx.x == 0 && arguments.splits > 1) {
      const unsigned group = blockIdx.z * gridDim.y + blockIdx.y;
      started_before_ = atom_relaxed_inc(arguments.arrivals + group * 4ull, arguments.splits - 1);
    }
  }

  // Whether the block is the one to merge.
  __device__ bool is_mine(const DecodeArguments& arguments) const {
    return __syncthreads_or(started_before_ == arguments.splits - 1);
  }

 private:
  int started_before_ = -1;  // splits that did, known to the block's first thread
};

// ---- templates/ptx/cp_async.cuh -----------------------------------------------------------------

// Copies from global to shared memory that pass no register and complete in groups. `shared` is an
// address in shared memory; of the copied bytes, those beyond `bytes` are zero and are not read.

inline __device__ void cp_async_16(unsigned shared, unsigned long long global, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(global),
               "r"(bytes)
               : "memory");
}

inline __device__ void cp_async_4(unsigned shared, unsigned long long global, int bytes) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared), "l"(global), "r"(bytes)
               : "memory");
}

inline __device__ void cp_async_commit_group() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

// Until at most kPending of the thread's newest groups are incomplete.
template <int kPending>
inline __device__ void cp_async_wait_group() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// ---- templates/ptx/prefetch.cuh -----------------------------------------------------------------

// Hints that bring memory nearer.

// Brings the line at an address to the L2 cache. Harmless at any address: an H100 does nothing
// where no memory is.
inline __device__ void prefetch_l2(unsigned long long address) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(address));
}

// ---- templates/attention/pipeline.cuh -----------------------------------------------------------

// The tiles that a block takes of those that its rows see, one every `step` tokens, its warps in
// turn. But for a window's, where the first ones are does not depend on the sequence's length:
// their pages are looked up while that is read.
struct Share {
  int first;  // a multiple of kTileTokens
  int step;
  int end;
};

// Splits take tiles in turn, too.
inline __device__ Share share_of_block(const Rows& rows, int splits) {
  const int first = Mask::first(rows.position(0)) / kTileTokens + static_cast<int>(blockIdx.x);
  const int end = Mask::end(rows.position(rows.count - 1), rows.kv_length);
  return {first * kTileTokens, splits * kTileTokens, end};
}

// A warp's tiles on their way to shared memory: kStages of them, one commit group each. Only this
// warp reads what it copies, so that no block-wide barrier is needed. kTilesAhead are on their way
// while the warp waits for one: all, or one less, whose place is that of the tile before.
class Pipeline {
 public:
  __device__ Pipeline(const KvCache& cache, const Rows& rows, const Share& share, unsigned stages)
      : cache_(cache),
        rows_(rows),
        end_(share.end),
        stride_(kWarps * share.step),
        stages_(stages),
        copied_(share.first + warp_id() * share.step) {
    look_up();
  }

  // Starts the first tiles' copies.
  __device__ void fill() {
#pragma unroll 1
    for (int stage = 0; stage < kTilesAhead; ++stage) copy(stage, [] {});
  }

  // The same while the grid before still runs; tiles with tokens from `ready` on wait for its end.
  // Each piece waits for the one before it: memory has enough to do then, and what that grid still
  // reads and writes, such as its splits' parts, does not have to queue behind all that this one's
  // blocks have room for. A warp's only tile comes at once.
  __device__ void fill_beside(int ready) {
    const bool at_once = copied_ + stride_ >= end_ || begins_last();
    const auto pace = [&] {
      if (at_once) return;
      cp_async_commit_group();
      cp_async_wait_group<kPiecesAhead - 1>();
    };
#pragma unroll 1
    for (int stage = 0; stage < kTilesAhead; ++stage) {
      if (min(copied_ + kTileTokens, end_) > ready) Launch::wait();
      if (stage > 0) pace();
      copy(stage, pace);
    }
  }

  // Brings the keys, or all, of the tile that is copied next to the L2 cache.
  __device__ void prefetch_keys() {
    if (copied_ >= end_) return;
    tile_rows_.wait();
    prefetch_rows<kKeyUnits * 16>(cache_.k);
    if constexpr (Scale::kPerToken) prefetch_rows<4>(cache_.k_scale);
  }
  __device__ void prefetch() {
    if (copied_ >= end_) return;
    prefetch_keys();
    prefetch_rows<kValueUnits * 16>(cache_.v);
    if constexpr (Scale::kPerToken) prefetch_rows<4>(cache_.v_scale);
  }

  // Waits for the warp's next tile. False where there is none.
  __device__ bool advance() {
    if (copied_ - kTilesAhead * stride_ >= end_) return false;
    cp_async_wait_group<kTilesAhead - 1>();
    __syncwarp();
    if constexpr (kTilesAhead < kStages) refill();
    return true;
  }

  // The warp is done with the tile.
  __device__ void release() {
    if constexpr (kTilesAhead == kStages) {
      __syncwarp();
      refill();
    }
  }

  // Whether the warp has started to copy all of its tiles.
  __device__ bool all_copied() const { return copied_ >= end_; }

  // The tile's first token, and where it is in shared memory, as an offset from the stages.
  __device__ int token() const { return copied_ - kStages * stride_; }
  __device__ int offset() const { return stage_ * kStageBytes; }

 private:
  // Pieces, K or V of a tile, that a warp has on their way beside the grid before: 4 KiB, which of
  // eight warps are what keeps memory busy.
  static constexpr int kPieceBytes = kTileTokens * kKeyUnits * 16;
  static constexpr int kPiecesAhead = kPieceBytes < 4096 ? 4096 / kPieceBytes : 1;

  // Whether the block is one of the last to begin: where a multiprocessor holds one at a time, in
  // the places of the grid before's merges. There is little left then to be beside of.
  static __device__ bool begins_last() {
    const bool last_group = blockIdx.y + 1 == gridDim.y && blockIdx.z + 1 == gridDim.z;
    return kResidentBlocks == 1 && last_group && 2 * blockIdx.x >= gridDim.x;
  }

  // A new tile's copies take the place of the last one that the warp worked on. With a warp's last
  // tile on its way the next grid may begin, whose copies would take bandwidth from it before.
  __device__ void refill() {
    copy(stage_, [] {});
    stage_ = stage_ + 1 < kStages ? stage_ + 1 : 0;
    if (all_copied()) Launch::let_next_begin();
  }

  // Starts the next tile's copies, of K, and after `between` of V. Tokens that are not there become
  // zeros, their scales too, so that nothing read from the tile is a NaN that no one wrote.
  template <class Between>
  __device__ void copy(int stage, const Between& between) {
    if (copied_ < end_) {
      tile_rows_.wait();
      const unsigned tile = stages_ + stage * kStageBytes;
      copy_rows<kKeyUnits>(tile, cache_.k);
      between();
      copy_rows<kValueUnits>(tile + kValuesOffset, cache_.v);
      if constexpr (Scale::kPerToken) {
        copy_scales(tile + kKeyScalesOffset, cache_.k_scale);
        copy_scales(tile + kValueScalesOffset, cache_.v_scale);
      }
    }
    copied_ += stride_;
    look_up();
    cp_async_commit_group();
  }

  // Lane l gets units l, l + 32, l + 64, ... of the tile's rows, counted from the first row on:
  // `each` is given 0, 32, 64, ..., the unit's address and whether it is to be read.
  template <int kUnits, int kUnitBytes, class Each>
  __device__ void for_units(DeviceAddress rows, const Each& each) {
    constexpr int kCount = kTileTokens * kUnits;
    const TileUnits<kUnits, kUnitBytes> units(tile_rows_, rows);
#pragma unroll 8
    for (int i = 0; i < kCount; i += 32) {
      const DeviceAddress unit = units.address(i);
      const bool exists = units.exists(i);
      if (kCount % 32 == 0 || i + lane_id() < kCount) each(i, unit, exists);
    }
  }

  template <int kUnits>
  __device__ void copy_rows(unsigned tile, DeviceAddress rows) {
    for_units<kUnits, 16>(rows, [&](int i, DeviceAddress unit, bool exists) {
      cp_async_16(copied_unit<kUnits>(tile, i), unit, exists ? 16 : 0);
    });
  }

  __device__ void copy_scales(unsigned tile, DeviceAddress scales) {
    for_units<1, 4>(scales, [&](int, DeviceAddress scale, bool exists) {
      cp_async_4(tile + lane_id() * 4, scale, exists ? 4 : 0);
    });
  }

  template <int kRowBytes>
  __device__ void prefetch_rows(DeviceAddress rows) {
    constexpr int kLineBytes = kRowBytes % 128 == 0 ? 128 : kRowBytes & -kRowBytes;
    for_units<kRowBytes / kLineBytes, kLineBytes>(rows, [](int, DeviceAddress line, bool exists) {
      if (exists) prefetch_l2(line);
    });
  }

  // Where the lane's unit i + lane goes. Where 32 units are whole rows, the row's swizzle is that
  // of the lane's part of it and that of the constant i, so that little is left to compute.
  template <int kUnits>
  static __device__ unsigned copied_unit(unsigned tile, int i) {
    if constexpr (32 % kUnits == 0) {
      const int lane = lane_id() ^ row_swizzle<kUnits>(lane_id() / kUnits);
      return tile + (lane ^ row_swizzle<kUnits>(i / kUnits)) * 16 + i * 16;
    }
    const int index = i + lane_id();
    return tile + (index ^ row_swizzle<kUnits>(index / kUnits)) * 16;
  }

  // The rows of the tile that is copied next are looked up while the warp works on another one.
  __device__ void look_up() { tile_rows_.look_up(cache_, rows_, copied_, stride_, end_); }

  const KvCache& cache_;
  const Rows& rows_;
  int end_;                            // of the share
  int stride_;                         // from the warp's tile to its next
  unsigned stages_;                    // the warp's, in shared memory
  int copied_;                         // first token of the tile that is copied next
  int stage_ = kTilesAhead % kStages;  // of the tile that the warp works on
  TileRows tile_rows_;                 // of the tile that is copied next, in the cache
};

// ---- templates/history/late.cuh -----------------------------------------------------------------

// A hint before the grids before have ended, while memory has little to do: the tiles that the
// block's warps will take first, as far as can be seen now. Lengths that cannot be are another
// batch's, or no one's yet: the page table is read at tokens that a cache may hold, and no others.
inline __device__ void prefetch_first_tiles(const DecodeArguments& arguments) {
  const Rows rows = rows_of_block(arguments.batch);
  if (rows.count <= 0 || rows.first_position < 0) return;
  if (rows.position(rows.count - 1) >= rows.kv_length) return;
  if (rows.kv_length > KvLayout::capacity(arguments.cache)) return;
  Pipeline(arguments.cache, rows, share_of_block(rows, arguments.splits), 0).prefetch();
}

// Whatever decode reads may be written by the grid before: it waits for that grid's end.
struct History {
  // Before anything is read.
  static __device__ void begin(const DecodeArguments& arguments, Merge& merge) {
    if constexpr (Launch::kOverlaps) prefetch_first_tiles(arguments);
    Launch::wait();
    merge.start(arguments);
  }

  // Where the block has nothing to do.
  static __device__ void leave() {}

  // The queries are read before the first tiles, as they would wait behind all that the device's
  // blocks copy. These tiles may be in the L2 cache already.
  static __device__ void before_queries(const DecodeArguments&, const Rows&, Pipeline&, Merge&) {}
  static __device__ void after_queries(Pipeline& pipeline) {
    pipeline.fill();
    pipeline.prefetch_keys();
  }
};

// ---- templates/attention/merge_parts.cuh --------------------------------------------------------

constexpr int kPairs = kHeadDimV / 2;  // values are merged and written two at a time

// A row's softmax over some of the tokens, of which this thread has two output dims: weights are
// 2^(logit - maximum), their sum is `sum`, and the outputs are sums of weights times values. Over
// no tokens the maximum is minus infinity and all else is zero.
struct RowPart {
  float maximum = minus_infinity();
  float sum = 0;
  float outputs[2] = {};
};

// The end of a row: the sink joins, and output and log-sum-exp (natural, the sink included: the
// logarithm of what the output was divided by) are written.
inline __device__ void finish(const DecodeArguments& arguments, long long index, int head, int pair,
                              const RowPart& row) {
  float lse = row.maximum + lg2_approx_ftz(row.sum);
  const float share = Sinks::join(arguments, head, lse);
  const float factor = row.sum > 0 ? share * rcp_approx_ftz(row.sum) : 0;
  float scaled[8] = {};  // formats pack eight
  for (int i = 0; i < 2; ++i) {
    scaled[i] = Output::scaled(row.outputs[i] * factor, arguments.output_scale);
  }
  unsigned words[2 * Output::kBytes];
  Output::pack(words, scaled);
  if constexpr (Output::kBytes == 2) {
    reinterpret_cast<unsigned*>(arguments.output)[index * kPairs + pair] = words[0];
  } else {
    reinterpret_cast<unsigned short*>(arguments.output)[index * kPairs + pair] =
        static_cast<unsigned short>(words[0]);
  }
  if (pair == 0 && arguments.lse != 0) {
    constexpr float kLn2 = 0.693147181f;
    reinterpret_cast<float*>(arguments.lse)[index] = lse * kLn2;
  }
}

// Splits lie in global memory, a row of each as strips of 64 dims, two a lane. A word has two
// numbers; it is zero where nobody has written it yet, as the first one never is +0. So each word
// tells by itself whether it is there. Who has read it sets it back to zero.
using Word = unsigned long long;
constexpr Word kNothing = 0x80000000;        // -0 and +0
constexpr int kStrips = (kPairs + 31) / 32;  // of a row

inline __device__ Word word_of(float first, float second) {
  const unsigned not_zero = first == 0 ? 0x80000000 : __float_as_uint(first);
  return static_cast<Word>(__float_as_uint(second)) << 32 | not_zero;
}
inline __device__ float first_of(Word word) { return __uint_as_float(static_cast<unsigned>(word)); }
inline __device__ float second_of(Word word) {
  return __uint_as_float(static_cast<unsigned>(word >> 32));
}

struct SplitStrip {
  Word* outputs;             // of this lane's pair, of the first split
  Word* sums;                // the row's maximum and sum, which each of its strips has
  long long outputs_stride;  // from one split to the next
  long long sums_stride;

  __device__ SplitStrip(const DecodeArguments& arguments, long long index, int pair)
      : outputs(reinterpret_cast<Word*>(arguments.partial_output) + index * kPairs + pair),
        sums(reinterpret_cast<Word*>(arguments.partial_sums) + index * kStrips + pair / 32) {
    const long long rows = static_cast<long long>(arguments.batch.tokens) * kQueryHeads;
    outputs_stride = rows * kPairs, sums_stride = rows * kStrips;
  }

  __device__ void write(int split, int pair, const RowPart& part) const {
    st_relaxed_gpu(outputs + split * outputs_stride, word_of(part.outputs[0], part.outputs[1]));
    if (pair % 32 != 0) return;
    st_relaxed_gpu(sums + split * sums_stride, word_of(part.maximum, part.sum));
  }
};

// A strip's splits are merged as many at once as a warp holds, so that all are on their way at a
// time: a half of the warp takes every other one, four dims a lane, kOfHalf of them. Lane l of each
// kOfHalf knows the maximum and the sum of its half's lth.
constexpr int kOfHalf = 8;

template <class Join>
inline __device__ float join_splits(float value, const Join& join) {
#pragma unroll
  for (int mask = 1; mask < kOfHalf; mask *= 2) {
    value = join(value, __shfl_xor_sync(0xffffffff, value, mask));
  }
  return join(value, __shfl_xor_sync(0xffffffff, value, 16));
}

// Waits for a strip's splits and merges them. `strip` begins at the lane's four dims, of which it
// is given the first or the last two, by its half. Little branches, since this is the end that all
// else waits for, and lanes leave the wait together, without which the compiler writes all that
// follows twice. `has_quad`: of the row's strips the last one may be narrower than the warp.
inline __device__ RowPart merge_strip(SplitStrip strip, int splits, bool has_quad) {
  const int half = lane_id() / 16;
  strip.outputs += half * strip.outputs_stride;
  strip.sums += (2 * (lane_id() % kOfHalf) + half) * strip.sums_stride;
  RowPart row;
  float quad[4] = {};
#pragma unroll 1
  for (; splits > 0; splits -= 2 * kOfHalf) {
    const bool has_sums = 2 * (lane_id() % kOfHalf) + half < splits;
    const auto has = [&](int i) { return has_quad && 2 * i + half < splits; };
    ulonglong2 outputs[kOfHalf];
    Word sums;
    unsigned least;
    do {
      const Word* from = strip.outputs;
#pragma unroll
      for (int i = 0; i < kOfHalf; ++i, from += 2 * strip.outputs_stride) {
        outputs[i] = ld_relaxed_gpu_if(has(i), reinterpret_cast<const ulonglong2*>(from), kNothing);
      }
      sums = ld_relaxed_gpu_if(has_sums, strip.sums, kNothing);
      least = static_cast<unsigned>(sums);
      for (const ulonglong2& words : outputs) {
        least = min(least, min(static_cast<unsigned>(words.x), static_cast<unsigned>(words.y)));
      }
    } while (__any_sync(0xffffffff, least == 0));

    const float maximum = has_sums ? first_of(sums) : minus_infinity();
    const float of_splits = join_splits(maximum, [](float a, float b) { return fmaxf(a, b); });
    const float largest = fmaxf(row.maximum, of_splits);
    const float weight = ex2_approx_ftz(maximum - finite(largest));
    const float factor = ex2_approx_ftz(row.maximum - finite(largest));
    const float sum = join_splits(weight * second_of(sums), [](float a, float b) { return a + b; });
    row.maximum = largest;
    row.sum = row.sum * factor + sum;
    for (float& output : quad) output *= factor;
#pragma unroll
    for (int i = 0; i < kOfHalf; ++i, strip.outputs += 2 * strip.outputs_stride) {
      const float of_split = __shfl_sync(0xffffffff, weight, 16 * half + i);
      quad[0] += of_split * first_of(outputs[i].x);
      quad[1] += of_split * second_of(outputs[i].x);
      quad[2] += of_split * first_of(outputs[i].y);
      quad[3] += of_split * second_of(outputs[i].y);
      st_zero_global_if(has(i), reinterpret_cast<ulonglong2*>(strip.outputs));
    }
    st_zero_global_if(has_sums, strip.sums);
    strip.sums += 2 * kOfHalf * strip.sums_stride;
  }
  for (int i = 0; i < 2; ++i) {
    const float others = half == 0 ? quad[2 + i] : quad[i];
    row.outputs[i] = (half == 0 ? quad[i] : quad[2 + i]) + __shfl_xor_sync(0xffffffff, others, 16);
  }
  return row;
}

// Merges the splits of the block's rows, and leaves their memory as zeros.
inline __device__ void merge_splits(const DecodeArguments& arguments, const Rows& rows) {
#pragma unroll 1
  for (int strip = warp_id(); strip < rows.count * kStrips; strip += kThreads / 32) {
    const int row = strip / kStrips, quad = strip % kStrips * 16 + lane_id() % 16;
    const long long index = index_of(rows, row);
    const bool has_quad = quad < kHeadDimV / 4;
    const SplitStrip splits(arguments, index, 2 * quad);
    const RowPart merged = merge_strip(splits, arguments.splits, has_quad);
    if (has_quad) finish(arguments, index, rows.head(row), 2 * quad + lane_id() / 16, merged);
  }
}

// ---- templates/attention/products.cuh -----------------------------------------------------------

constexpr int kTokenTiles = kTileTokens / 8;                // columns of S by 8
constexpr int kTileSteps = kTileTokens / Mma::kStepTokens;  // products deep is P V of a tile
constexpr int kDimTiles = kHeadDimV / 8;                    // columns of O by 8

using Scores = float[kRowTiles][kTokenTiles][4];
using Weights = unsigned[kTileSteps][kRowTiles][4];
using Outputs = float[kRowTiles][kDimTiles][4];

// A lane's part of a row: 16, 8, 4 or 2 bytes.
template <int kBytes, int kWords>
inline __device__ void load_words(unsigned (&words)[kWords], const char* shared) {
  static_assert(kBytes <= 4 * kWords);
  if constexpr (kBytes == 16) {
    const uint4 value = *reinterpret_cast<const uint4*>(shared);
    words[0] = value.x, words[1] = value.y, words[2] = value.z, words[3] = value.w;
  } else if constexpr (kBytes == 8) {
    const uint2 value = *reinterpret_cast<const uint2*>(shared);
    words[0] = value.x, words[1] = value.y;
  } else if constexpr (kBytes == 4) {
    words[0] = *reinterpret_cast<const unsigned*>(shared);
  } else {
    words[0] = *reinterpret_cast<const unsigned short*>(shared);
  }
}

// S = Q K^T. Column n of S's tile i is token 8i + n.
inline __device__ void multiply_keys(Scores& scores, const Query& query, const char* keys) {
  const int g = lane_id() / 4;
  const int t = lane_id() % 4;
#pragma unroll Query::kChunksAtOnce
  for (int chunk = 0; chunk * 4 < kKeyUnits; ++chunk) {
    unsigned words[kTokenTiles][4] = {};
#pragma unroll
    for (int i = 0; i < kTokenTiles; ++i) {
      const char* rows = keys + i * kEightRowsBytes<kKeyUnits>;
      if (chunk < kKeyChunks) {
        load_words<16>(words[i], rows + unit_index<kKeyUnits>(g, t, chunk * 4) * 16);
      } else {
        for (int j = 0; j < kKeyTail; ++j) {
          const int unit = unit_index<kKeyUnits>(g, 0, chunk * 4 + j);
          words[i][j] = *reinterpret_cast<const unsigned*>(rows + unit * 16 + t * 4);
        }
      }
    }
#pragma unroll
    for (int word = 0; word < 4; word += Operand::kStepWords) {
      const int step = (chunk * 4 + word) / Operand::kStepWords;
      if (step >= kKeySteps) break;
      unsigned b[kTokenTiles][2];
      for (int i = 0; i < kTokenTiles; ++i) {
        unsigned part[Operand::kStepWords];
        for (int j = 0; j < Operand::kStepWords; ++j) part[j] = words[i][word + j];
        Operand::keys(b[i], part);
      }
#pragma unroll
      for (int tile = 0; tile < kRowTiles; ++tile) {
        unsigned a[4];
        query.operand(a, tile, step);
        for (int i = 0; i < kTokenTiles; ++i) Mma::multiply(scores[tile][i], a, b[i]);
      }
    }
  }
}

// A row of V is cut into parts of kValuePart, 64, 32 or 16 bytes, of which each g takes an eighth:
// the dims of O that a column g stands for are those of its eighth, one in each tile of O.
constexpr int kValueBytes = kHeadDimV * Cache::kBytes;
constexpr __device__ int part_bytes(int byte) {
  const int rest = kValueBytes - byte;
  return rest >= kValuePart ? kValuePart : rest >= 64 ? 64 : rest >= 32 ? 32 : 16;
}

// O += P V for the tokens of one product. P's registers are as S = Q K^T left them, so its column k
// is one of tokens 2t, 2t + 1, 2t + 8 and 2t + 9 of each 16, and V's rows are read in that order.
template <int kByte = 0>
inline __device__ void multiply_values(Outputs& outputs, const unsigned (&weights)[kRowTiles][4],
                                       const char* values) {
  if constexpr (kByte < kValueBytes) {
    constexpr int kLaneBytes = part_bytes(kByte) / 8;
    constexpr int kLaneWords = kLaneBytes > 4 ? kLaneBytes / 4 : 1;
    constexpr int kLaneRows = Mma::kStepTokens / 4;
    const int t = lane_id() % 4;
    const int byte = lane_id() / 4 * kLaneBytes;  // of the part
    unsigned words[kLaneRows][kLaneWords];
#pragma unroll
    for (int i = 0; i < kLaneRows; ++i) {
      const int unit = unit_index<kValueUnits>(2 * t + i % 2, byte / 16, kByte / 16);
      load_words<kLaneBytes>(words[i],
                             values + i / 2 * kEightRowsBytes<kValueUnits> + unit * 16 + byte % 16);
    }
#pragma unroll
    for (int word = 0; word < kLaneWords; ++word) {
      unsigned column[kLaneRows];
      for (int i = 0; i < kLaneRows; ++i) column[i] = words[i][word];
      unsigned b[kWordDims][2];
      Operand::values(b, column);
      constexpr int kDims = kLaneBytes < 4 ? kLaneBytes / Cache::kBytes : kWordDims;
#pragma unroll
      for (int dim = 0; dim < kDims; ++dim) {
        const int column_tile = kByte / Cache::kBytes / 8 + word * kWordDims + dim;
        for (int tile = 0; tile < kRowTiles; ++tile) {
          Accumulation::multiply(outputs[tile][column_tile], weights[tile], b[dim]);
        }
      }
    }
    multiply_values<kByte + part_bytes(kByte)>(outputs, weights, values);
  }
}

// ---- templates/attention/softmax.cuh ------------------------------------------------------------

// V's scales of a tile's tokens multiply P, relative to the largest scale so far, so that P stays
// within its format; O is in units of that largest scale.
struct ValueScales {
  float ratio[kTokenTiles][2];  // scale / largest

  // Returns what O's unit shrinks by.
  __device__ float update(float& largest, const char* scales) {
    const float before = largest;
#pragma unroll
    for (int i = 0; i < kTokenTiles; ++i) {
      const float2 pair =
          *reinterpret_cast<const float2*>(scales + (8 * i + lane_id() % 4 * 2) * 4);
      ratio[i][0] = pair.x, ratio[i][1] = pair.y;
      largest = fmaxf(largest, fmaxf(pair.x, pair.y));
    }
    largest = quad_max(largest);
    const float inverse = rcp_approx_ftz(fmaxf(largest, 0x1p-126f));
    for (auto& pair : ratio) pair[0] *= inverse, pair[1] *= inverse;
    return before * inverse;
  }
};

// A warp's online softmax, in base 2. A lane keeps rows g and g + 8 of each row tile.
class Softmax {
 public:
  __device__ Softmax(const DecodeArguments& arguments, const Rows& rows, const Query& query)
      : rows_(rows) {
    const float scale = kLogitScale * Scale::of_head(arguments.cache.k_scale, rows.kv_head);
#pragma unroll
    for (int tile = 0; tile < kRowTiles; ++tile) {
      for (int half = 0; half < 2; ++half) {
        logit_scale_[tile][half] = scale * query.scale[tile][half];
        maximum[tile][half] = minus_infinity();
        sum[tile][half] = 0;
      }
    }
    unit = Scale::kPerToken ? 0 : Scale::of_head(arguments.cache.v_scale, rows.kv_head);
    all_see_from_ = Mask::first(rows.position(rows.count - 1));
    all_see_to_ = Mask::end(rows.position(0), rows.kv_length);
  }

  // Turns the scores of the tile at `first_token` into weights, rescaling what came before. A row's
  // sum takes the weights as they were rounded, so that P / sum adds up to 1 exactly.
  __device__ void update(Weights& weights, Outputs& outputs, Scores& scores, const char* tile,
                         int first_token) {
    scale_scores(scores, tile);
    if (first_token < all_see_from_ || first_token + kTileTokens > all_see_to_) {
      hide(scores, first_token);
    }
    ValueScales value_scales;
    float shrink = 1;
    if constexpr (Scale::kPerToken) shrink = value_scales.update(unit, tile + kValueScalesOffset);
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
      float correction[2];
      for (int half = 0; half < 2; ++half) correction[half] = exponentiate(scores[i], i, half);
      rescale(outputs[i], correction[0] * shrink, correction[1] * shrink);
      Mma::WeightSum sums[2];
#pragma unroll
      for (int step = 0; step < kTileSteps; ++step) {
        pack(weights[step][i], scores[i], value_scales, step, sums);
      }
      for (int half = 0; half < 2; ++half) sum[i][half] += sums[half].value();
    }
  }

  float maximum[kRowTiles][2];  // of the logits, rounded up
  float sum[kRowTiles][2];      // over the tokens of this lane's columns
  float unit;                   // of O, as V's scales have it

 private:
  __device__ void scale_scores(Scores& scores, const char* tile) {
#pragma unroll
    for (int i = 0; i < kTokenTiles; ++i) {
      float2 key_scale = {1, 1};
      if constexpr (Scale::kPerToken) {
        const char* scales = tile + kKeyScalesOffset;
        key_scale = *reinterpret_cast<const float2*>(scales + (8 * i + lane_id() % 4 * 2) * 4);
      }
#pragma unroll
      for (int row_tile = 0; row_tile < kRowTiles; ++row_tile) {
        for (int j = 0; j < 4; ++j) {
          float& score = scores[row_tile][i][j];
          const float scale =
              (j % 2 == 0 ? key_scale.x : key_scale.y) * logit_scale_[row_tile][j / 2];
          score = Softcap::apply(score * scale);
        }
      }
    }
  }

  // Scores of tokens that a row does not see become minus infinity.
  __device__ void hide(Scores& scores, int first_token) {
#pragma unroll
    for (int tile = 0; tile < kRowTiles; ++tile) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int position = rows_.position(16 * tile + lane_id() / 4 + 8 * half);
        const int column = first_token + lane_id() % 4 * 2;
        const int first = Mask::first(position) - column;
        const int end = Mask::end(position, rows_.kv_length) - column;
#pragma unroll
        for (int i = 0; i < kTokenTiles; ++i) {
          for (int j = 0; j < 2; ++j) {
            if (8 * i + j < first || 8 * i + j >= end)
              scores[tile][i][2 * half + j] = minus_infinity();
          }
        }
      }
    }
  }

  // Scores of one row become weights. Returns what its weights so far are to be multiplied by. They
  // are relative to the power of two next above the maximum, so that how a weight is rounded does
  // not depend on what came before it.
  __device__ float exponentiate(float (&scores)[kTokenTiles][4], int tile, int half) {
    float largest = minus_infinity();
#pragma unroll
    for (int i = 0; i < kTokenTiles; ++i) {
      largest = fmaxf(largest, fmaxf(scores[i][2 * half], scores[i][2 * half + 1]));
    }
    largest = fmaxf(maximum[tile][half], ceilf(quad_max(largest)));
    const float correction = ex2_approx_ftz(maximum[tile][half] - finite(largest));
    const float anchor = finite(largest) - Mma::kWeightExponent;
#pragma unroll
    for (int i = 0; i < kTokenTiles; ++i) {
      for (int j = 0; j < 2; ++j) {
        scores[i][2 * half + j] = ex2_approx_ftz(scores[i][2 * half + j] - anchor);
      }
    }
    maximum[tile][half] = largest;
    sum[tile][half] *= correction;
    return correction;
  }

  // The maximum seldom changes after the first tiles, and then there is nothing to do.
  static __device__ void rescale(float (&outputs)[kDimTiles][4], float upper, float lower) {
    if (!__any_sync(0xffffffff, upper != 1 || lower != 1)) return;
#pragma unroll
    for (int i = 0; i < kDimTiles; ++i) {
      outputs[i][0] *= upper, outputs[i][1] *= upper;
      outputs[i][2] *= lower, outputs[i][3] *= lower;
    }
  }

  // The weights of one product as its first operand: registers are upper and lower rows of the
  // first half of the tokens, then of the second.
  __device__ void pack(unsigned (&a)[4], const float (&weights)[kTokenTiles][4],
                       const ValueScales& value_scales, int step, Mma::WeightSum (&sums)[2]) {
    constexpr int kTiles = Mma::kPack / 2;  // of 8 tokens, in a register
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int half = i % 2;
      const int first = step * Mma::kStepTokens / 8 + i / 2 * kTiles;
      float values[Mma::kPack];
      float ratio[Mma::kPack];
      for (int j = 0; j < Mma::kPack; ++j) {
        values[j] = weights[first + j / 2][2 * half + j % 2];
        ratio[j] = Scale::kPerToken ? value_scales.ratio[first + j / 2][j % 2] : 1;
      }
      a[i] = Mma::weights(values, ratio, sums[half]);
    }
  }

  const Rows& rows_;
  float logit_scale_[kRowTiles][2];
  int all_see_from_;  // tokens from here..
  int all_see_to_;    // ..to before here are seen by all the block's rows
};

// ---- templates/attention/warp_parts.cuh ---------------------------------------------------------

constexpr int kQuads = kHeadDimV / 4;

// What the block's warps made of its rows, each over its own tiles, in the memory that the tiles
// were in.
struct WarpParts {
  float4 outputs[kWarps][kRows][kQuads];  // a row's quads are swizzled
  float2 sums[kWarps][kRows];             // maximum and sum
  float units[kWarps];                    // of the outputs

  // Those of a row, of which this thread has two dims, in their order, so that the bits depend on
  // nothing else.
  __device__ RowPart joined(int row, int pair) const {
    RowPart result;
    for (int warp = 0; warp < kWarps; ++warp) {
      result.maximum = fmaxf(result.maximum, sums[warp][row].x);
    }
#pragma unroll
    for (int warp = 0; warp < kWarps; ++warp) {
      const float2* outputs = reinterpret_cast<const float2*>(this->outputs[warp][row]);
      const float2 of_pair = outputs[swizzled_quad(row, pair / 2) * 2 + pair % 2];
      const float2 of_row = sums[warp][row];
      const float weight = ex2_approx_ftz(of_row.x - finite(result.maximum));
      result.sum += weight * of_row.y;
      result.outputs[0] += weight * units[warp] * of_pair.x;
      result.outputs[1] += weight * units[warp] * of_pair.y;
    }
    return result;
  }

  // Where a quad of a row is, so that neither the lanes that write nor those that read have a bank
  // conflict: a quad is 4 banks, g's row starts at bank 0, and t's quads are a multiple of 4 or 8
  // from each other.
  static __device__ int swizzled_quad(int row, int quad) {
    if constexpr (kQuads % 8 == 0) return quad ^ quad / 8 % 4 * 2 ^ row % 2;
    return quad;
  }
};

// A lane's values of one row. In each part of a row of V they are those of the two columns 2t and
// 2t + 1, whose dims are neighbours.
template <int kByte = 0>
inline __device__ void store_row(float4* quads, int row, const float (&outputs)[kDimTiles][4],
                                 int half) {
  if constexpr (kByte < kValueBytes) {
    constexpr int kFirst = kByte / Cache::kBytes;
    constexpr int kEighth = part_bytes(kByte) / Cache::kBytes / 8;  // dims of a column
    const auto value = [&](int i) {
      return outputs[kFirst / 8 + i % kEighth][2 * half + i / kEighth];
    };
    const int first = kFirst + lane_id() % 4 * 2 * kEighth;
    if constexpr (kEighth == 1) {
      reinterpret_cast<float2*>(quads)[first / 2] = {value(0), value(1)};
    } else {
      const int lane = WarpParts::swizzled_quad(row, first / 4);  // shares no bit with i / 4
#pragma unroll
      for (int i = 0; i < 2 * kEighth; i += 4) {
        quads[lane ^ i / 4] = {value(i), value(i + 1), value(i + 2), value(i + 3)};
      }
    }
    store_row<kByte + part_bytes(kByte)>(quads, row, outputs, half);
  }
}

// Leaves the warp's part for the block's other warps.
inline __device__ void store_part(WarpParts& parts, const Rows& rows, const Softmax& softmax,
                                  const Outputs& outputs) {
  if (lane_id() == 0) parts.units[warp_id()] = softmax.unit;
#pragma unroll
  for (int tile = 0; tile < kRowTiles; ++tile) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = 16 * tile + lane_id() / 4 + 8 * half;
      const float sum = quad_sum(softmax.sum[tile][half]);
      if (row >= rows.count) continue;
      store_row(parts.outputs[warp_id()][row], row, outputs[tile], half);
      if (lane_id() % 4 == 0) {
        parts.sums[warp_id()][row] = {softmax.maximum[tile][half] - Mma::kWeightExponent, sum};
      }
    }
  }
}

// Merges the warps' parts of the block's rows: into the batch's output or, where there are several
// splits, into the block's.
inline __device__ void merge_warps(const DecodeArguments& arguments, const Rows& rows,
                                   const WarpParts& parts) {
#pragma unroll 1
  for (int i = threadIdx.x; i < rows.count * kPairs; i += kThreads) {
    const int row = i / kPairs, pair = i % kPairs;
    const RowPart merged = parts.joined(row, pair);
    const long long index = index_of(rows, row);
    if (arguments.splits == 1) {
      finish(arguments, index, rows.head(row), pair, merged);
    } else {
      SplitStrip(arguments, index, pair).write(blockIdx.x, pair, merged);
    }
  }
}

// ---- templates/kernels/decode.cuh ---------------------------------------------------------------

extern __shared__ uint4 shared_memory[];

// Attention of a few query tokens a sequence over its KV cache. A block takes kRows query rows of
// one KV head and a share of the tokens; its warps take that share's tiles in turn, each with its
// own copies in flight and its own softmax. Their parts are merged, and then the splits' are.
extern "C" __global__ void __launch_bounds__(kThreads, 1)
    octavo_decode(const __grid_constant__ DecodeArguments arguments) {
  Merge merge;
  History::begin(arguments, merge);
  const Rows rows = rows_of_block(arguments.batch);
  if (rows.count <= 0) return History::leave();
  const Share share = share_of_block(rows, arguments.splits);

  char* const memory = reinterpret_cast<char*>(shared_memory);
  char* const stages = memory + warp_id() * kStages * kStageBytes;
  Pipeline pipeline(arguments.cache, rows, share,
                    static_cast<unsigned>(__cvta_generic_to_shared(stages)));
  History::before_queries(arguments, rows, pipeline, merge);
  Query query(arguments, rows, reinterpret_cast<uint4*>(memory + kQueryOffset));
  History::after_queries(pipeline);
  query.convert();
  Softmax softmax(arguments, rows, query);
  Outputs outputs = {};
  while (pipeline.advance()) {
    const char* const tile = stages + pipeline.offset();
    Scores scores = {};
    multiply_keys(scores, query, tile);
    Weights weights;
    softmax.update(weights, outputs, scores, tile, pipeline.token());
#pragma unroll
    for (int step = 0; step < kTileSteps; ++step) {
      constexpr int kStepBytes = Mma::kStepTokens * kValueUnits * 16;
      multiply_values(outputs, weights[step], tile + kValuesOffset + step * kStepBytes);
    }
    pipeline.release();
  }

  auto& parts = *reinterpret_cast<WarpParts*>(memory);
  __syncthreads();  // no warp needs its tiles any more
  store_part(parts, rows, softmax, outputs);
  __syncthreads();
  merge_warps(arguments, rows, parts);
  if (arguments.splits > 1 && merge.is_mine(arguments)) merge_splits(arguments, rows);
}

}  // namespace octavo
