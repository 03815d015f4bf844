// Octavo 0.1.0: decode for sm_120a. Generated; edit the spec or templates/ instead.
//
// Spec 8eeaa27fe1545aa7
//   octavo: 1
//   attention:
//     query_heads: 10
//     kv_heads: 2
//     head_dim: {qk: 96, v: 64}
//     mask: none
//     softmax_scale: 0.10206207261596577
//     softcap: 30
//     sinks: true
//     rope: {pairing: interleaved, dims: 32, theta: 10000}
//   kv_cache:
//     format: e5m2
//     scale: head
//     layout: contiguous
//     history_ready: true
//   compute:
//     matmul: fp8
//     accumulation: {levels: 2, promote_every: 128}
//   input: fp32
//   output: e4m3
//   kernels: [append, decode]
//
// Plan
//   warps: 8, stages: 2, tile_tokens: 32, row_tiles: 1, merge: fused
//   256 threads, 81920 bytes of dynamic shared memory

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

constexpr int kQueryHeads = 10;
constexpr int kKvHeads = 2;
constexpr int kHeadDimQk = 96;
constexpr int kHeadDimV = 64;
constexpr int kGroup = 5;
constexpr int kRowTiles = 1;
constexpr int kThreads = 256;
constexpr float kLogitScale = 0.0098162964f;
constexpr float kSoftcap = 43.2808512f;
constexpr int kPromoteEvery = 128;
constexpr int kWarps = 8;
constexpr int kStages = 2;
constexpr int kTilesAhead = 2;
constexpr int kTileTokens = 32;
constexpr int kStageBytes = 5120;
constexpr int kValuePart = 128;
constexpr int kQueryOffset = 81920;
constexpr int kResidentBlocks = 1;

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

// ---- templates/ptx/convert_fp8.cuh --------------------------------------------------------------

// Conversions to and from pairs of fp8, sm_89 and later. A pair's low half comes first.

inline __device__ unsigned short cvt_rn_satfinite_e4m3x2_f32(float low, float high) {
  unsigned short pair;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(high), "f"(low));
  return pair;
}

inline __device__ unsigned short cvt_rn_satfinite_e5m2x2_f32(float low, float high) {
  unsigned short pair;
  asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(high), "f"(low));
  return pair;
}

inline __device__ unsigned cvt_rn_f16x2_e4m3x2(unsigned short pair) {
  unsigned halves;
  asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(halves) : "h"(pair));
  return halves;
}

inline __device__ unsigned cvt_rn_f16x2_e5m2x2(unsigned short pair) {
  unsigned halves;
  asm("cvt.rn.f16x2.e5m2x2 %0, %1;" : "=r"(halves) : "h"(pair));
  return halves;
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

// ---- templates/fp8_convert/hardware.cuh ---------------------------------------------------------

// fp8 by the conversion instructions of sm_89 and later. Into fp8: to nearest even, beyond the
// largest finite value (infinities too) to that value, NaN to 0x7f. Out of fp8: exact.
struct Fp8Convert {
  static __device__ unsigned short e4m3x2(float low, float high) {
    return cvt_rn_satfinite_e4m3x2_f32(low, high);
  }
  static __device__ unsigned short e5m2x2(float low, float high) {
    return cvt_rn_satfinite_e5m2x2_f32(low, high);
  }
  static __device__ unsigned f16x2_from_e4m3x2(unsigned short pair) {
    return cvt_rn_f16x2_e4m3x2(pair);
  }
  static __device__ unsigned f16x2_from_e5m2x2(unsigned short pair) {
    return cvt_rn_f16x2_e5m2x2(pair);
  }

  // No instruction leads to bf16, but by way of fp16 and fp32 it is exact too.
  static __device__ unsigned bf16x2_from_e4m3x2(unsigned short pair) {
    return bf16x2(f16x2_from_e4m3x2(pair));
  }
  static __device__ unsigned bf16x2_from_e5m2x2(unsigned short pair) {
    return bf16x2(f16x2_from_e5m2x2(pair));
  }

 private:
  static __device__ unsigned bf16x2(unsigned halves) {
    return cvt_rn_bf16x2_f32(cvt_f32_f16(halves), cvt_f32_f16(mov_b32_high(halves)));
  }
};

// ---- templates/format/e5m2.cuh ------------------------------------------------------------------

struct E5m2 {
  static constexpr int kBytes = 1;
  static constexpr int kMaxExponent = 15;  // the largest finite value is 1.75 * 2^15

  // Eight values become the words that memory holds for them, by the fp8_convert policy.
  static __device__ void pack(unsigned (&words)[2], const float (&values)[8]) {
    for (int i = 0; i < 2; ++i) {
      const unsigned low = Fp8Convert::e5m2x2(values[4 * i], values[4 * i + 1]);
      const unsigned high = Fp8Convert::e5m2x2(values[4 * i + 2], values[4 * i + 3]);
      words[i] = low | high << 16;
    }
  }

  // Two values as a pair of 16-bit floats, exactly.
  static __device__ unsigned f16x2(unsigned short pair) {
    return Fp8Convert::f16x2_from_e5m2x2(pair);
  }
  static __device__ unsigned bf16x2(unsigned short pair) {
    return Fp8Convert::bf16x2_from_e5m2x2(pair);
  }
};

// ---- templates/cache/e5m2.cuh -------------------------------------------------------------------

using Cache = E5m2;  // what the KV cache holds

// ---- templates/scale/head.cuh -------------------------------------------------------------------

// A scale for each KV head, of K and of V, which the caller has set. Values are multiplied by its
// reciprocal, rounded to fp32; what then lies beyond the format saturates.
struct Scale {
  // Whether a row has a scale of its own, at scales[row].
  static constexpr bool kPerToken = false;

  // What all rows of a KV head are multiplied by.
  static __device__ float of_head(DeviceAddress scales, int kv_head) {
    return reinterpret_cast<const float*>(scales)[kv_head];
  }

  // The scale for a row of this KV head, whose values lie on kLanes lanes.
  template <int kLanes>
  static __device__ float of_row(DeviceAddress scales, int kv_head, const float (&)[8]) {
    return reinterpret_cast<const float*>(scales)[kv_head];
  }

  static __device__ float reciprocal(float scale) { return 1 / scale; }

  static __device__ void store(DeviceAddress, long long, float) {}
};

// ---- templates/kv/contiguous.cuh ----------------------------------------------------------------

// A sequence's tokens lie one after another, with room for `capacity` of them.
struct KvLayout {
  // The row of a token's K and V: K starts at k + row * bytes of a K row, V at v + row * bytes of a
  // V row, and its scales, where every row has its own, are k_scale[row] and v_scale[row].
  static __device__ long long row(const KvCache& cache, int sequence, int kv_head, int token) {
    return row_in(0, cache, sequence, kv_head, token);
  }

  // The same in two steps: what is read for it, here nothing, and what is computed then.
  static __device__ int page(const KvCache&, int, int) { return 0; }
  static __device__ long long row_in(long long, const KvCache& cache, int sequence, int kv_head,
                                     int token) {
    return (static_cast<long long>(sequence) * kKvHeads + kv_head) * cache.capacity + token;
  }

  // Tokens that a sequence may have.
  static __device__ long long capacity(const KvCache& cache) { return cache.capacity; }

  // From a token's row of one KV head to its row of the next.
  static __device__ long long head_stride(const KvCache& cache) { return cache.capacity; }
};

// ---- templates/format/fp32.cuh ------------------------------------------------------------------

struct Fp32 {
  static constexpr int kBytes = 4;

  // Eight values and the words that memory holds for them.
  static __device__ void pack(unsigned (&words)[8], const float (&values)[8]) {
    for (int i = 0; i < 8; ++i) words[i] = __float_as_uint(values[i]);
  }
  static __device__ void unpack(float (&values)[8], const unsigned (&words)[8]) {
    for (int i = 0; i < 8; ++i) values[i] = __uint_as_float(words[i]);
  }
};

// ---- templates/input/fp32.cuh -------------------------------------------------------------------

using Input = Fp32;  // what q, k and v are

// ---- templates/ptx/mma_fp8.cuh ------------------------------------------------------------------

// Warp-wide matrix products d = a * b + d of fp8 with fp32 accumulators, sm_89 and later.

inline __device__ void mma_m16n8k32_e4m3_e4m3(float (&d)[4], const unsigned (&a)[4],
                                              const unsigned (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

inline __device__ void mma_m16n8k32_e4m3_e5m2(float (&d)[4], const unsigned (&a)[4],
                                              const unsigned (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e5m2.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

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

// ---- templates/mma/fp8.cuh ----------------------------------------------------------------------

// What the tensor cores multiply: queries and softmax weights in e4m3 by the cache's own bytes, 32
// deep.
struct Fp8Mma {
  static constexpr int kStepTokens = 32;  // depth of one product
  static constexpr int kPack = 4;         // values of a register
  // The softmax weight of a row's largest logit, rounded up, is 2^kWeightExponent, within e4m3's
  // 448: weights down to 2^-14 of it keep e4m3's four bits. Being a power of two, what the weights
  // are relative to does not change how they are rounded, and so neither do the tiles before.
  static constexpr int kWeightExponent = 8;
  static constexpr float kQueryLimit = 448;  // queries are scaled so that each row reaches this

  static __device__ unsigned pack(const float (&values)[4]) {
    const unsigned low = Fp8Convert::e4m3x2(values[0], values[1]);
    const unsigned high = Fp8Convert::e4m3x2(values[2], values[3]);
    return low | high << 16;
  }

  // Of a row's weights in a tile, as they were rounded. fp16 serves: it has eight bits more than a
  // weight, and the sum of a tile's is at most 2^kWeightExponent times its tokens.
  struct WeightSum {
    unsigned pair = 0;
    __device__ float value() const {
      return cvt_f32_f16(pair & 0xffff) + cvt_f32_f16(mov_b32_high(pair));
    }
  };

  // Softmax weights as an operand, each times its ratio, a power of two up to 1. e4m3 has no room
  // for exact products, so these are rounded, and the sum takes what the weights became.
  static __device__ unsigned weights(const float (&values)[4], const float (&ratio)[4],
                                     WeightSum& sum) {
    float products[4];
    for (int i = 0; i < 4; ++i) products[i] = values[i] * ratio[i];
    const unsigned word = pack(products);
    for (int i = 0; i < 2; ++i) {
      const unsigned pair = Fp8Convert::f16x2_from_e4m3x2(i == 0 ? word : mov_b32_high(word));
      sum.pair = fma_rn_f16x2(pair, reciprocals(ratio[2 * i], ratio[2 * i + 1]), sum.pair);
    }
    return word;
  }

 private:
  static __device__ unsigned reciprocals(float a, float b) {
    constexpr unsigned kOnes = 0x3c003c00;
    if constexpr (!Scale::kPerToken) return kOnes;
    return cvt_rn_f16x2_f32(reciprocal(a), reciprocal(b));
  }

  // fp16 ends at 2^15. A smaller ratio leaves no more than two values of e4m3 to its weight, which
  // counts for less then, or rounds to zero.
  static __device__ float reciprocal(float ratio) {
    return __uint_as_float((254u << 23) - __float_as_uint(fmaxf(ratio, 0x1p-15f)));
  }
};

// ---- templates/mma/fp8_e5m2.cuh -----------------------------------------------------------------

struct Mma : Fp8Mma {
  static __device__ void multiply(float (&sum)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    mma_m16n8k32_e4m3_e5m2(sum, a, b);
  }
};

// ---- templates/operand/bytes.cuh ----------------------------------------------------------------

// The words of an fp8 cache as the second operand of fp8 products.
struct Operand {
  static constexpr int kStepWords = 2;  // words of a K row that a lane multiplies in one product

  static __device__ void keys(unsigned (&b)[2], const unsigned (&words)[2]) {
    b[0] = words[0];
    b[1] = words[1];
  }

  // One word, four dims, of V's tokens 2t, 2t + 1, 2t + 8, 2t + 9 and of those 16 later: the
  // operand of each dim, its four tokens in one register. A transposition of 4 x 4 bytes.
  static __device__ void values(unsigned (&b)[4][2], const unsigned (&words)[8]) {
    for (int half = 0; half < 2; ++half) {
      const unsigned* rows = words + 4 * half;
      const unsigned low01 = __byte_perm(rows[0], rows[1], 0x5140);
      const unsigned low23 = __byte_perm(rows[2], rows[3], 0x5140);
      const unsigned high01 = __byte_perm(rows[0], rows[1], 0x7362);
      const unsigned high23 = __byte_perm(rows[2], rows[3], 0x7362);
      b[0][half] = __byte_perm(low01, low23, 0x5410);
      b[1][half] = __byte_perm(low01, low23, 0x7632);
      b[2][half] = __byte_perm(high01, high23, 0x5410);
      b[3][half] = __byte_perm(high01, high23, 0x7632);
    }
  }
};

// ---- templates/accumulate/two_level.cuh ---------------------------------------------------------

// The tensor cores sum the products of one step from zero, and fp32 additions sum the steps: where
// the tensor cores' accumulator is narrow (14 bits for fp8 on some), only a step is summed in it. A
// step is Mma::kStepTokens tokens, no more than any promote_every, and a step's sum lives in four
// registers.
struct Accumulation {
  static __device__ void multiply(float (&sum)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    static_assert(Mma::kStepTokens <= kPromoteEvery, "a step sums more tokens than promote_every");
    float partial[4] = {};
    Mma::multiply(partial, a, b);
    for (int i = 0; i < 4; ++i) sum[i] += partial[i];
  }
};

// ---- templates/mask/none.cuh --------------------------------------------------------------------

// The tokens first..end - 1 that a query token sees, by its position: all of its sequence.
struct Mask {
  static __device__ int first(int) { return 0; }
  static __device__ int end(int, int kv_length) { return kv_length; }
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

// ---- templates/query/registers.cuh --------------------------------------------------------------

// The queries as operands, held in registers.
class Query {
 public:
  static constexpr int kChunksAtOnce = (kKeyUnits + 3) / 4;  // of K's rows: all

  // Starts to read them.
  __device__ Query(const DecodeArguments& arguments, const Rows& rows, uint4*) {
#pragma unroll
    for (int tile = 0; tile < kRowTiles; ++tile) {
      rows_[tile] = QueryRows(arguments, rows, tile);
      for (int half = 0; half < 2; ++half) scale[tile][half] = rows_[tile].scale[half];
#pragma unroll
      for (int step = 0; step < kKeySteps; ++step) rows_[tile].read(words_[tile][step], step);
    }
  }

  // Once the first copies are on their way.
  __device__ void convert() {
#pragma unroll
    for (int tile = 0; tile < kRowTiles; ++tile) {
#pragma unroll
      for (int step = 0; step < kKeySteps; ++step) {
        rows_[tile].fragment(operands_[tile][step], words_[tile][step]);
      }
    }
  }

  __device__ void operand(unsigned (&a)[4], int tile, int step) const {
    for (int i = 0; i < 4; ++i) a[i] = operands_[tile][step][i];
  }

  float scale[kRowTiles][2];  // of the lane's rows

 private:
  QueryRows rows_[kRowTiles];
  QueryWords words_[kRowTiles][kKeySteps];
  unsigned operands_[kRowTiles][kKeySteps][4];
};

// ---- templates/ptx/griddepcontrol.cuh -----------------------------------------------------------

// Programmatic dependent launch: grids of a stream that begin before the one before has ended.

inline __device__ void griddepcontrol_launch_dependents() {
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}

// Until the grids before have ended and what they wrote can be read.
inline __device__ void griddepcontrol_wait() { asm volatile("griddepcontrol.wait;" ::: "memory"); }

// ---- templates/launch/dependent.cuh -------------------------------------------------------------

// How grids of a stream follow each other: the next one's blocks may take their places, as soon as
// this one lets them and its blocks leave them, and wait there for its end.
struct Launch {
  static constexpr bool kOverlaps = true;

  // Waits until the grids before have ended and what they wrote is to be seen. Every block does so,
  // or this grid could end before those, and more than once costs nothing.
  static __device__ void wait() { griddepcontrol_wait(); }

  // Lets the next grid's blocks begin. After `wait`, what they can see before theirs is at least
  // what the grid before this one left; before it, what this grid can see then. More than once
  // costs nothing.
  static __device__ void let_next_begin() { griddepcontrol_launch_dependents(); }
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

// ---- templates/output/e4m3.cuh ------------------------------------------------------------------

// What the output holds: value / output_scale, saturated.
struct Output : E4m3 {
  static __device__ float scaled(float value, float scale) { return value / scale; }
};

// ---- templates/sinks/learned.cuh ----------------------------------------------------------------

// What joins the softmax's denominator besides the tokens: a logit that each query head has
// learned.
struct Sinks {
  // Adds the sink to a row's log-sum-exp (base 2) and returns what the row's output shrinks by.
  static __device__ float join(const PrefillArguments& arguments, int query_head, float& lse) {
    constexpr float kLog2E = 1.44269504f;
    const float sink = reinterpret_cast<const float*>(arguments.sinks)[query_head] * kLog2E;
    const float maximum = fmaxf(lse, sink);
    const float tokens = ex2_approx_ftz(lse - maximum);
    const float all = tokens + ex2_approx_ftz(sink - maximum);
    lse = maximum + lg2_approx_ftz(all);
    return tokens / all;
  }
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

// ---- templates/history/ready.cuh ----------------------------------------------------------------

// What decode finds in the cache, and where, is there before the grids that may still run beside it
// begin: these write at most the queries and the batch's own tokens. All else is read meanwhile.
struct History {
  // Before anything is read.
  static __device__ void begin(const DecodeArguments&, Merge&) {}

  // Where the block has nothing to do.
  static __device__ void leave() { Launch::wait(); }

  // The first tiles are copied while that grid runs, but for those with tokens that it may write.
  static __device__ void before_queries(const DecodeArguments& arguments, const Rows& rows,
                                        Pipeline& pipeline, Merge& merge) {
    pipeline.fill_beside(rows.first_position);
    Launch::wait();
    merge.start(arguments);
  }
  static __device__ void after_queries(Pipeline& pipeline) {
    pipeline.prefetch_keys();
    if (pipeline.all_copied()) Launch::let_next_begin();
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
