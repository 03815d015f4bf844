// Octavo 0.1.0: prefill for sm_90a. Generated; edit the spec or templates/ instead.
//
// Spec c1a58cab28ed3fba
//   octavo: 1
//   attention:
//     query_heads: 32
//     kv_heads: 8
//     head_dim: 128
//     mask: causal
//     softmax_scale: 0.08838834764831843
//     softcap: 0
//     sinks: false
//     rope: none
//   kv_cache:
//     format: e4m3
//     scale: token_head
//     layout: paged
//     page_size: 64
//   compute:
//     matmul: fp8
//     accumulation: {levels: 2, promote_every: 128}
//   input: bf16
//   output: bf16
//   kernels: [append, decode]
//
// Plan
//   warps: 16, stages: 5, tile_tokens: 128, row_tiles: 12, chunk: 64
//   512 threads, 216112 bytes of dynamic shared memory

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

constexpr int kQueryHeads = 32;
constexpr int kKvHeads = 8;
constexpr int kHeadDimQk = 128;
constexpr int kHeadDimV = 128;
constexpr int kPageSize = 64;
constexpr int kGroup = 4;
constexpr int kRowTiles = 12;
constexpr int kThreads = 512;
constexpr float kLogitScale = 0.127517431f;
constexpr int kStages = 5;
constexpr int kTileTokens = 128;
constexpr int kQuerySteps = 1;
constexpr int kBoxRows = 32;
constexpr int kChunk = 64;
constexpr int kPromoteTokens = 128;
constexpr int kProducerRegisters = 32;
constexpr int kConsumerRegisters = 160;
constexpr int kSharedBytes = 216112;

// ---- wgmma --------------------------------------------------------------------------------------

// d = a * b, or d + a * b, while the warpgroup goes on.
inline __device__ void wgmma(float (&d)[64], unsigned long long a, unsigned long long b, bool add) {
  asm volatile(
      "{\n\t"
      ".reg .pred add;\n\t"
      "setp.ne.b32 add, %66, 0;\n\t"
      "wgmma.mma_async.sync.aligned.m64n128k32.f32.e4m3.e4m3 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, "
      "%8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, "
      "%40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, "
      "%56, %57, %58, %59, %60, %61, %62, %63}, "
      "%64, %65, add, 1, 1;\n\t"
      "}"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]),
        "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]),
        "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]),
        "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]),
        "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]),
        "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]),
        "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]),
        "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])
      : "l"(a), "l"(b), "r"(static_cast<int>(add)));
}

inline __device__ void wgmma(float (&d)[64], const unsigned (&a)[4], unsigned long long b, bool add) {
  asm volatile(
      "{\n\t"
      ".reg .pred add;\n\t"
      "setp.ne.b32 add, %69, 0;\n\t"
      "wgmma.mma_async.sync.aligned.m64n128k32.f32.e4m3.e4m3 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, "
      "%8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, "
      "%40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, "
      "%56, %57, %58, %59, %60, %61, %62, %63}, "
      "{%64, %65, %66, %67}, %68, add, 1, 1;\n\t"
      "}"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]),
        "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]),
        "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]),
        "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]),
        "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]),
        "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]),
        "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]),
        "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<int>(add)));
}

inline __device__ void wgmma(float (&d)[32], const unsigned (&a)[4], unsigned long long b, bool add) {
  asm volatile(
      "{\n\t"
      ".reg .pred add;\n\t"
      "setp.ne.b32 add, %37, 0;\n\t"
      "wgmma.mma_async.sync.aligned.m64n64k32.f32.e4m3.e4m3 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, "
      "%8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31}, "
      "{%32, %33, %34, %35}, %36, add, 1, 1;\n\t"
      "}"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]),
        "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]),
        "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]),
        "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<int>(add)));
}

inline __device__ void wgmma(float (&d)[36], const unsigned (&a)[4], unsigned long long b, bool add) {
  asm volatile(
      "{\n\t"
      ".reg .pred add;\n\t"
      "setp.ne.b32 add, %41, 0;\n\t"
      "wgmma.mma_async.sync.aligned.m64n72k32.f32.e4m3.e4m3 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, "
      "%8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35}, "
      "{%36, %37, %38, %39}, %40, add, 1, 1;\n\t"
      "}"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]),
        "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]),
        "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]),
        "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]),
        "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<int>(add)));
}

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

// ---- templates/mma/fp8_e4m3.cuh -----------------------------------------------------------------

struct Mma : Fp8Mma {
  static __device__ void multiply(float (&sum)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    mma_m16n8k32_e4m3_e4m3(sum, a, b);
  }
};

// ---- templates/mask/causal.cuh ------------------------------------------------------------------

// The tokens first..end - 1 that a query token sees, by its position: itself and those before it.
struct Mask {
  static __device__ int first(int) { return 0; }
  static __device__ int end(int position, int) { return position + 1; }
};

// ---- templates/softcap/none.cuh -----------------------------------------------------------------

// Logits stay as they are. kLogitScale is softmax_scale * log2(e): the softmax works in base 2.
struct Softcap {
  static constexpr bool kOn = false;
  static __device__ float apply(float logit) { return logit; }
};

// ---- templates/prefill/matrix.cuh ---------------------------------------------------------------

// An operand of wgmma in shared memory, kRows rows of kRowBytes: cut into pieces of kPiece bytes of
// every row, one piece's rows after another, whose 16-byte units are exchanged as the hardware
// does: bits 7 and up of an address flip those from bit 4 up. So neither eight rows' units in the
// same place nor a row's units have a bank conflict.
template <int kRows, int kBytesOfRow>
struct Matrix {
  static constexpr int kRowBytes = kBytesOfRow;
  static constexpr int kPiece = kRowBytes % 128 == 0 ? 128 : kRowBytes % 64 == 0 ? 64 : 32;
  static constexpr int kPieceBytes = kRows * kPiece;
  static constexpr int kBytes = kRows * kRowBytes;
  static constexpr int kUnits = kRowBytes / 16;  // of a row
  static_assert(kRowBytes % 32 == 0 && kRows % 8 == 0, "pieces begin at whole patterns");

  // Where unit `unit + more_units` of row `row + more_rows` is, numbers that share no bit: the
  // lane's part is computed once for all that the compiler knows.
  static __device__ int unit(int row, int unit, int more_rows = 0, int more_units = 0) {
    constexpr int kPieceUnits = kPiece / 16;
    const auto swizzle = [](int row) { return (row * kPiece >> 7 & kPieceUnits - 1) * 16; };
    const auto pieces = [](int unit) { return unit / kPieceUnits * kPieceBytes; };
    const int lane = row * kPiece + pieces(unit) + unit % kPieceUnits * 16 ^ swizzle(row);
    return (lane ^ swizzle(more_rows) ^ more_units % kPieceUnits * 16) + more_rows * kPiece +
           pieces(more_units);
  }

  // From a row to the one 16 later, which the pattern does not tell apart.
  static constexpr int kStripBytes = 16 * kPiece;

  // Where in a row, in units of 16 bytes as descriptors count them, byte `byte` is.
  static constexpr __device__ int along(int byte) {
    return (byte / kPiece * kPieceBytes + byte % kPiece) / 16;
  }

  // Of the matrix at this shared address, as wgmma is told. From 8 rows to the next 8; where rows
  // are what is summed over, from a piece to the next.
  static __device__ unsigned long long descriptor(unsigned matrix) {
    constexpr unsigned long long kSwizzle = kPiece == 128 ? 1 : kPiece == 64 ? 2 : 3;
    constexpr unsigned long long kOffsets = static_cast<unsigned long long>(kPieceBytes / 16)
                                                << 16 |
                                            static_cast<unsigned long long>(8 * kPiece / 16) << 32;
    return (matrix & 0x3ffff) >> 4 | kOffsets | kSwizzle << 62;
  }
};

// ---- templates/ptx/matrix.cuh -------------------------------------------------------------------

// Four matrices of 8 x 8 16-bit elements between shared memory and a warp's registers. Lane l gives
// the address of row l % 8 of matrix l / 8; with g = lane / 4 and t = lane % 4, a lane has of each
// matrix elements 2t and 2t + 1 of row g, or, transposed, of column g.

inline __device__ void ldmatrix_x4(unsigned (&words)[4], unsigned shared) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(shared)
               : "memory");
}

inline __device__ void ldmatrix_x4_trans(unsigned (&words)[4], unsigned shared) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(shared)
               : "memory");
}

inline __device__ void stmatrix_x4(unsigned shared, const unsigned (&words)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(shared),
               "r"(words[0]), "r"(words[1]), "r"(words[2]), "r"(words[3])
               : "memory");
}

// ---- templates/values/transposed.cuh ------------------------------------------------------------

// V of one byte as an operand: wgmma wants the tokens of a dim side by side, so a tile is copied as
// it lies and then transposed. Of each 16 tokens, positions 4t .. 4t + 3 are tokens 2t, 2t + 1,
// 2t + 8 and 2t + 9, which are those whose scores lane t of a row has; of each 16 dims, rows 0 to 7
// are the even ones and 8 to 15 the odd ones, as they come out of a transposition of pairs.
struct Values {
  // Columns after V's dims, of which a lane has an even and an odd one: P V has P's sums in them.
  // The tensor cores sum the weights as they were rounded, which would have to be unpacked for it
  // otherwise.
  static constexpr int kOnes = 8;
  static constexpr float kOddColumns = 256;  // what odd ones' sums are to be multiplied by
  static __device__ float sum(const float* columns) {
    return Scale::kPerToken ? columns[0] + kOddColumns * columns[1] : columns[0];
  }

  using Copied = Matrix<kTileTokens, kHeadDimV>;
  using Operand = Matrix<kHeadDimV + kOnes, kTileTokens>;
  static constexpr int kCopiedBytes = Copied::kBytes;
  static constexpr bool kTransposed = true;

  // What a warp copied goes to its place, kCount strips from strip `first` on, of which those
  // before strip `end` are there.
  template <int kCount>
  static __device__ void place(unsigned operand, unsigned copied, int first, int end) {
    // Where the lane reads and writes of a piece's first dims. Those of its later ones are a
    // constant away, within a row in bits that are the swizzle's alone, as pieces begin at whole
    // patterns.
    const int lane = mov_laneid();  // the producer has no registers for all of this all the while
    copied += first * Copied::kStripBytes + Copied::unit(lane % 16, lane / 16);
    // Loads that are waited for together; with long rows there are no registers for it.
    constexpr int kAtOnce = kHeadDimV <= 128 ? kCount : 1;
    unsigned to[kCount];
#pragma unroll
    for (int i = 0; i < kCount; ++i) to[i] = operand + Operand::unit(lane, first + i);
#pragma unroll 1
    for (int piece = 0; piece < kHeadDimV / Copied::kPiece; ++piece) {
#pragma unroll
      for (int dim = 0; dim < Copied::kPiece; dim += 32) {
#pragma unroll
        for (int from = 0; from < kCount; from += kAtOnce) {
          unsigned of[kAtOnce][4];  // tokens 0 to 7 and 8 to 15 of 16 dims, then of 16 more
#pragma unroll
          for (int i = 0; i < kAtOnce; ++i) {
            if (first + from + i >= end) break;
            ldmatrix_x4_trans(of[i], (copied ^ dim) + (from + i) * Copied::kStripBytes);
          }
#pragma unroll
          for (int i = 0; i < kAtOnce; ++i) {
            if (first + from + i >= end) break;
            const unsigned words[4] = {
                __byte_perm(of[i][0], of[i][1], 0x6420), __byte_perm(of[i][0], of[i][1], 0x7531),
                __byte_perm(of[i][2], of[i][3], 0x6420), __byte_perm(of[i][2], of[i][3], 0x7531)};
            stmatrix_x4(to[from + i] + dim * Operand::kPiece, words);
          }
        }
      }
      copied += Copied::kPieceBytes;
#pragma unroll
      for (unsigned& each : to) each += Copied::kPiece * Operand::kPiece;
    }
  }

  // From a tile's descriptor to that of one product's tokens, of the dims from `dim` on.
  static constexpr __device__ int offset(int step, int dim) {
    return Operand::along(step * 32) + dim * Operand::kPiece / 16;
  }

  // A lane has, of each 16 columns of O, 2t, 2t + 1, 2t + 8 and 2t + 9: dims 4t .. 4t + 3. Of row g
  // (half 0) or g + 8: the values of quad 4 * tile_pair + t, and which quad it is.
  static __device__ int quad(float (&values)[8], const float (&outputs)[kHeadDimV / 2], int pair,
                             int half) {
    for (int i = 0; i < 4; ++i) values[i] = outputs[8 * pair + i % 2 * 4 + 2 * half + i / 2];
    return 4 * pair + threadIdx.x % 4;
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

// ---- templates/ptx/fence.cuh --------------------------------------------------------------------

// Order between the ways to memory.

// What the thread wrote to shared memory comes before what wgmma reads there, once others know.
inline __device__ void fence_proxy_async() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// ---- templates/ptx/mbarrier.cuh -----------------------------------------------------------------

// Barriers in shared memory, at which some threads arrive and others wait. `barrier` is an address
// in shared memory. A phase ends with its last arrival; phases are numbered from 0 on.

inline __device__ void mbarrier_init(unsigned barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}

inline __device__ void mbarrier_arrive(unsigned barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

// The phase does not end before asynchronous copies have brought so many bytes more.
inline __device__ void mbarrier_expect_tx(unsigned barrier, int bytes) {
  asm volatile("mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
}

// Until the phase of this parity has ended.
inline __device__ void mbarrier_wait(unsigned barrier, unsigned parity) {
  asm volatile(
      "{\n\t"
      ".reg .pred ended;\n"
      "WAIT:\n\t"
      "mbarrier.try_wait.parity.shared::cta.b64 ended, [%0], %1;\n\t"
      "@!ended bra WAIT;\n\t"
      "}" ::"r"(barrier),
      "r"(parity)
      : "memory");
}

// ---- templates/prefill/memory.cuh ---------------------------------------------------------------

// A block is a warpgroup that brings tiles of kTileTokens tokens to shared memory, the producer,
// and kConsumers that multiply them, each with 64 query rows.
constexpr int kWarpgroupThreads = 128;
constexpr int kConsumers = kThreads / kWarpgroupThreads - 1;
constexpr int kConsumerRows = 64;
static_assert(kRows == kConsumers * kConsumerRows);

using QueryMatrix = Matrix<kConsumerRows, kHeadDimQk * 4 / Mma::kPack>;
using KeyMatrix = Matrix<kTileTokens, kHeadDimQk * Cache::kBytes>;

// Of a lane's two rows, of the consumer's: g and g + 8 of its warp's 16.
inline __device__ int row_of_lane(int half) {
  return warp_id() % 4 * 16 + mov_laneid() / 4 + 8 * half;
}

// The tokens that a block's rows see between them, from a multiple of kTileTokens on.
struct Tokens {
  int first;
  int end;
};

// Which tokens a consumer's rows see.
struct Sight {
  Tokens tokens;  // of the block
  int from;       // all rows see the tokens from here..
  int to;         // ..to before here
  int kv_length;
  int position[kConsumerRows];
};

// Shared memory: queries of each consumer; kStages tiles of K; V as it was copied, where it is to
// be transposed; kStages tiles of V as wgmma takes it; of each tile the scales of its tokens, where
// they have their own, V's as factors of P; what each consumer's rows see; barriers.
constexpr int kScaleBytes = Scale::kPerToken ? kTileTokens * 4 : 0;
constexpr int kFactorBytes = Scale::kPerToken ? kTileTokens * 4 + 16 : 0;
constexpr int kLargestBytes = Scale::kPerToken ? 2 * 4 * 4 : 0;
constexpr int kKeysOffset = kConsumers * QueryMatrix::kBytes;
constexpr int kCopiedValuesOffset = kKeysOffset + kStages * KeyMatrix::kBytes;
constexpr int kValuesOffset = kCopiedValuesOffset + Values::kCopiedBytes;
constexpr int kKeyScalesOffset = kValuesOffset + kStages * Values::Operand::kBytes;
constexpr int kFactorsOffset = kKeyScalesOffset + kStages * kScaleBytes;
constexpr int kLargestOffset = kFactorsOffset + kStages * kFactorBytes;
constexpr int kSightOffset = kLargestOffset + kLargestBytes;
constexpr int kBarriersOffset = kSightOffset + (kConsumers * sizeof(Sight) + 15) / 16 * 16;
static_assert(kBarriersOffset + (3 * kStages + 1) * 8 <= kSharedBytes);

// The stages' barriers: whether a stage's keys and values are there, and whether all consumers are
// done with them. At last, whether the next V is there as it was copied, where the producer waits.
enum class Barrier { keys_full, values_full, empty, values_copied };

// One stage after the other, round and round.
struct Stage {
  int index = 0;
  unsigned parity = 0;  // of the round

  __device__ void advance() {
    if (++index == kStages) index = 0, parity ^= 1;
  }
};

// The block's shared memory.
struct Memory {
  char* base;
  unsigned address;  // of base, as instructions have it

  explicit __device__ Memory(uint4* memory)
      : base(reinterpret_cast<char*>(memory)),
        address(static_cast<unsigned>(__cvta_generic_to_shared(memory))) {}

  // A stage's scales of K; and V's as exponents relative to the largest so far, then what O's unit,
  // that largest one, has shrunk by, and the unit.
  __device__ float* key_scales(const Stage& stage) const {
    return reinterpret_cast<float*>(base + kKeyScalesOffset + stage.index * kScaleBytes);
  }
  __device__ float* factors(const Stage& stage) const {
    return reinterpret_cast<float*>(base + kFactorsOffset + stage.index * kFactorBytes);
  }
  // The largest exponent of each of the producer's warps, of this tile and of the one before.
  __device__ unsigned* largest(int tile) const {
    return reinterpret_cast<unsigned*>(base + kLargestOffset) + tile % 2 * 4;
  }

  __device__ Sight& sight(int consumer) const {
    return reinterpret_cast<Sight*>(base + kSightOffset)[consumer];
  }

  __device__ unsigned queries(int consumer) const {
    return address + consumer * QueryMatrix::kBytes;
  }
  __device__ unsigned keys(int stage) const {
    return address + kKeysOffset + stage * KeyMatrix::kBytes;
  }
  __device__ unsigned values(int stage) const {
    return address + kValuesOffset + stage * Values::Operand::kBytes;
  }
  // Where V is copied to that will be that stage's.
  __device__ unsigned copied_values(int stage) const {
    return Values::kTransposed ? address + kCopiedValuesOffset : values(stage);
  }
  // Where a shared address is, for loads and stores.
  __device__ char* at(unsigned shared) const { return base + (shared - address); }

  __device__ unsigned barrier(Barrier of, int stage) const {
    return address + kBarriersOffset + (static_cast<int>(of) * kStages + stage) * 8;
  }

  // Of a block with so many consumers that have rows.
  __device__ void start_barriers(int consumers) const {
    for (int stage = 0; stage < kStages; ++stage) {
      mbarrier_init(barrier(Barrier::keys_full, stage), 4);  // warps
      mbarrier_init(barrier(Barrier::values_full, stage), 4);
      mbarrier_init(barrier(Barrier::empty, stage), 4 * consumers);
    }
    mbarrier_init(barrier(Barrier::values_copied, 0), 4);
    fence_proxy_async();  // what copies do at barriers comes after
  }

  __device__ void wait_full(Barrier of, const Stage& stage) const {
    mbarrier_wait(barrier(of, stage.index), stage.parity);
  }
  // The first time round nothing has to be left.
  __device__ void wait_empty(const Stage& stage) const {
    mbarrier_wait(barrier(Barrier::empty, stage.index), stage.parity ^ 1);
  }
  // A warp's arrival, when all its lanes are done.
  __device__ void arrive(Barrier of, int stage) const {
    __syncwarp();
    if (lane_id() == 0) mbarrier_arrive(barrier(of, stage));
  }
};

// blockIdx: x row block and KV head, z sequence. Under a causal mask the last rows take longest, so
// they go first.
inline __device__ int sequence_of_block() { return blockIdx.z; }
inline __device__ int kv_head_of_block() { return blockIdx.x % kKvHeads; }
inline __device__ Rows rows_of_prefill(const PrefillKernelArguments& arguments) {
  const int row_block = (gridDim.x - 1 - blockIdx.x) / kKvHeads;
  const int longer = max(row_block - arguments.short_blocks, 0);
  const int first = (row_block - longer) * arguments.short_rows + longer * kRows;
  Rows rows = rows_from(arguments.batch, sequence_of_block(), kv_head_of_block(), first);
  if (row_block < arguments.short_blocks) rows.count = min(rows.count, arguments.short_rows);
  return rows;
}

// Consumers that have rows.
inline __device__ int consumers_of(const Rows& rows) {
  return (rows.count + kConsumerRows - 1) / kConsumerRows;
}

inline __device__ Tokens tokens_of(const Rows& rows) {
  return {Mask::first(rows.position(0)) / kTileTokens * kTileTokens,
          Mask::end(rows.position(rows.count - 1), rows.kv_length)};
}

// ---- templates/prefill/strips.cuh ---------------------------------------------------------------

// A warp of the producer has a quarter of a tile's tokens, in strips of 16. What a warp copied it
// also transposes, so that warps need not wait for each other for it.
constexpr int kStrips = kTileTokens / 16;
constexpr int kWarpStrips = (kStrips + 3) / 4;
constexpr int kWarpTokens = 16 * kWarpStrips;

// In the tile; beyond it where the warps before have all of them. Read anew each time, as the
// producer has no registers for all that is computed from it.
inline __device__ int first_strip_of_warp() { return mov_tid_x() / 32 % 4 * kWarpStrips; }

// The row of a token that is not there or not wanted: no box from there on has one that is.
constexpr int kNoRow = -kTileTokens;

// Where in the cache the warp's tokens of a tile are. A layer's rows number fewer than 2^31.
class TileRows {
 public:
  static constexpr int kLookUps = (kWarpTokens + 31) / 32;

  // Starts to find those of the tile at `first_token`, of which tokens before `end` are wanted.
  __device__ void look_up(const KvCache& cache, int first_token, int end) {
    first_token_ = first_token;
#pragma unroll
    for (int i = 0; i < kLookUps; ++i) {
      const int place = tile_place(i);
      page_[i] = -1;
      if (is_mine(i) && place < kTileTokens && first_token + place < end) {
        page_[i] = KvLayout::page(cache, sequence_of_block(), first_token + place);
      }
    }
  }

  // The warp's token 32 * i + lane: where in the tile it is, whether it is the warp's, and its row,
  // for which what look_up started is waited for.
  static __device__ int tile_place(int i) {
    return 16 * first_strip_of_warp() + 32 * i + mov_laneid();
  }
  static __device__ bool is_mine(int i) {
    return 32 * (i + 1) <= kWarpTokens || 32 * i + lane_id() < kWarpTokens;
  }
  __device__ int row(const KvCache& cache, int i) const {
    const int row = static_cast<int>(KvLayout::row_in(
        page_[i], cache, sequence_of_block(), kv_head_of_block(), first_token_ + tile_place(i)));
    return page_[i] < 0 ? kNoRow : row;
  }

  // The row of any of the warp's tokens, for which all lanes ask at once.
  __device__ int row_of(const KvCache& cache, int token) const {
    int row = this->row(cache, 0);
    for (int i = 1; i < kLookUps; ++i) {
      if (token / 32 == i) row = this->row(cache, i);
    }
    return __shfl_sync(0xffffffff, row, token % 32);
  }

 private:
  int first_token_;
  int page_[kLookUps];
};

// ---- templates/ptx/bulk_tensor.cuh --------------------------------------------------------------

// Copies of a tensor's boxes by the tensor memory accelerator.

// From global to shared memory, the box whose first element is in this column and row, by a
// CUtensorMap at a generic address; what lies outside the tensor becomes zeros. When the bytes are
// there the barrier counts them off.
inline __device__ void cp_async_bulk_tensor_2d(unsigned shared, const void* map, int column,
                                               int row, unsigned barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%2, %3}], [%4];" ::"r"(shared),
      "l"(map), "r"(column), "r"(row), "r"(barrier)
      : "memory");
}

// ---- templates/ptx/elect.cuh --------------------------------------------------------------------

// One of a warp's lanes.

// Whether the lane is the one that is elected, of all 32. The compiler knows that it is one, which
// it does not of a lane with a certain number: what must be issued once needs no loop.
inline __device__ bool elect_sync() {
  unsigned elected;
  asm volatile(
      "{\n\t"
      ".reg .pred elected;\n\t"
      "elect.sync _|elected, 0xffffffff;\n\t"
      "selp.u32 %0, 1, 0, elected;\n\t"
      "}"
      : "=r"(elected));
  return elected != 0;
}

// ---- templates/tile_copy/adjacent.cuh -----------------------------------------------------------

// Rows of a page lie one after another, and pages are whole boxes of kBoxRows: the tensor memory
// accelerator copies these, into the places where wgmma looks for them, and one lane of a warp
// tells it to. A box comes whole, also where not all of its rows are wanted: these may hold
// anything.
struct TileCopy {
  // Starts to copy the warp's rows of a tile to matrices of K and of V. A phase of their barriers
  // does not end before they are there.
  static __device__ void start(const PrefillKernelArguments& arguments, const TileRows& rows,
                               const Memory&, unsigned keys, unsigned keys_barrier, unsigned values,
                               unsigned values_barrier) {
    const bool elected = elect_sync();
    if (elected) {
      mbarrier_expect_tx(keys_barrier, boxes() * kBoxRows * KeyMatrix::kRowBytes);
      mbarrier_expect_tx(values_barrier, boxes() * kBoxRows * Values::Copied::kRowBytes);
    }
#pragma unroll
    for (int box = 0; box < kBoxes; ++box) {
      if (box >= boxes()) break;
      const int token = box * kBoxRows;
      const int row = rows.row_of(arguments.cache, token);
      if (!elected) continue;
      const int place = 16 * first_strip_of_warp() + token;
      copy<KeyMatrix>(keys, place, arguments.k_map, row, keys_barrier);
      copy<Values::Copied>(values, place, arguments.v_map, row, values_barrier);
    }
  }

  // The warp's rows of V from token `wanted` of the tile on become zeros, so that no NaN that no
  // one wrote is multiplied.
  static __device__ void finish(char* values, int wanted) {
    if (wanted >= kTileTokens) return;
    using Copied = Values::Copied;
    const int first = 16 * first_strip_of_warp();
#pragma unroll 1
    for (int i = mov_laneid(); i < kWarpTokens * Copied::kUnits; i += 32) {
      const int token = first + i / Copied::kUnits;
      if (token < wanted || token >= kTileTokens) continue;
      *reinterpret_cast<uint4*>(values + Copied::unit(token, i % Copied::kUnits)) = {};
    }
    __syncwarp();
  }

 private:
  static constexpr int kBoxes = kWarpTokens / kBoxRows;  // of a warp

  // Those that are in the tile.
  static __device__ int boxes() {
    if constexpr (kStrips % 4 == 0) return kBoxes;
    return max(0, min(kBoxes, (kTileTokens - 16 * first_strip_of_warp()) / kBoxRows));
  }

  template <class To>
  static __device__ void copy(unsigned to, int place, const TensorMap& map, int row,
                              unsigned barrier) {
#pragma unroll
    for (int piece = 0; piece < To::kRowBytes / To::kPiece; ++piece) {
      cp_async_bulk_tensor_2d(to + place * To::kPiece + piece * To::kPieceBytes, &map,
                              piece * To::kPiece, row, barrier);
    }
  }
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

// ---- templates/prefill/query.cuh ----------------------------------------------------------------

// A lane's two rows.
struct LaneRows {
  int row[2];  // in the block

  __device__ LaneRows() {
    const int consumer = warp_id() / 4 - 1;
    for (int half = 0; half < 2; ++half) row[half] = consumer * kConsumerRows + row_of_lane(half);
  }
};

// Queries of the lane's rows, a quarter of each row's values, eight at a time, go to shared memory
// as an operand. Rows beyond the block's repeat its last one; no one looks at what becomes of them.
inline __device__ void store_queries(float (&scale)[2], const PrefillArguments& arguments,
                                     const Rows& rows, const LaneRows& lane, char* queries) {
  constexpr int kEights = kHeadDimQk / 32;
  const int t = lane_id() % 4;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = min(lane.row[half], rows.count - 1);
    const long long element =
        rows.token(row) * arguments.q_stride + rows.head(row) * static_cast<long long>(kHeadDimQk);
    float values[kEights][8];
    float largest = 0;
#pragma unroll
    for (int i = 0; i < kEights; ++i) {
      unsigned words[2 * Input::kBytes];
      ld_global(words, arguments.q + (element + (t + 4 * i) * 8) * Input::kBytes);
      Input::unpack(values[i], words);
      for (float value : values[i]) largest = fmaxf(largest, fabsf(value));
    }
    scale[half] = 1;
    if constexpr (Mma::kQueryLimit > 0) {
      largest = quad_max(largest);
      if (largest > 0) scale[half] = fmaxf(largest * (1 / Mma::kQueryLimit), 0x1p-126f);
      const float reciprocal = 1 / scale[half];
#pragma unroll
      for (int i = 0; i < kEights; ++i) {
        for (float& value : values[i]) value *= reciprocal;
      }
    }
#pragma unroll
    for (int i = 0; i < kEights; ++i) {
      constexpr int kBytes = 32 / Mma::kPack;  // of eight values
      const int byte = (t + 4 * i) * kBytes;
      unsigned words[kBytes / 4];
      for (int j = 0; j < kBytes / 4; ++j) {
        float part[Mma::kPack];
        for (int k = 0; k < Mma::kPack; ++k) part[k] = values[i][j * Mma::kPack + k];
        words[j] = Mma::pack(part);
      }
      char* place = queries + QueryMatrix::unit(lane.row[half] % kConsumerRows, byte / 16);
      if constexpr (kBytes == 8) {
        *reinterpret_cast<uint2*>(place + byte % 16) = {words[0], words[1]};
      } else {
        *reinterpret_cast<uint4*>(place) = {words[0], words[1], words[2], words[3]};
      }
    }
  }
}

// A consumer's queries as wgmma takes them, once they are in shared memory. Those of the first
// kQuerySteps products of S stay in registers: each tile's products would read them from shared
// memory anew, a fifth of all that wgmma reads there, and power is what limits them.
class Queries {
 public:
  static constexpr int kSteps = QueryMatrix::kRowBytes / 32;

  explicit __device__ Queries(unsigned shared) : shared_(QueryMatrix::descriptor(shared)) {
    const int row = warp_id() % 4 * 16 + lane_id() % 16;
#pragma unroll
    for (int step = 0; step < kQuerySteps; ++step) {
      ldmatrix_x4(held_[step], shared + QueryMatrix::unit(row, 2 * step + lane_id() / 16));
    }
  }

  // The operand of one product: registers, or a descriptor.
  template <int kStep>
  __device__ decltype(auto) operand() const {
    if constexpr (kStep < kQuerySteps) {
      return (held_[kStep]);
    } else {
      return shared_ + QueryMatrix::along(32 * kStep);
    }
  }

 private:
  unsigned held_[kQuerySteps > 0 ? kQuerySteps : 1][4];
  unsigned long long shared_;
};

// ---- templates/ptx/wgmma_group.cuh --------------------------------------------------------------

// Groups of wgmma, which run while the warp goes on. Accumulators, and registers that are read, are
// not to be touched before the wait for their group.

// Before the first wgmma of a group: what registers hold is seen by it.
inline __device__ void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

inline __device__ void wgmma_commit_group() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

// Until at most kPending of the warp's newest groups are incomplete.
template <int kPending>
inline __device__ void wgmma_wait_group() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

// Keeps the compiler from moving what is done with the values to the other side of this place.
template <int kCount>
inline __device__ void hold(float (&values)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(values[i]));
}
template <int kCount>
inline __device__ void hold(unsigned (&words)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+r"(words[i]));
}

// ---- templates/prefill/products.cuh -------------------------------------------------------------

constexpr int kTokenTiles = kTileTokens / 8;                // columns of S by 8
constexpr int kTileSteps = kTileTokens / Mma::kStepTokens;  // products deep is P V of a tile

// A lane's part of 64 rows: of each 8 columns, 2t and 2t + 1 of row g, then of row g + 8.
using Scores = float[kTileTokens / 2];
using Outputs = float[kHeadDimV / 2];

// A tile's weights as operands, a product's registers being upper and lower rows of the first half
// of its tokens, then of the second; and their sums over the lane's columns, unless V has columns
// of ones.
struct Weights {
  unsigned steps[kTileSteps][4];
  float sums[2];
};

// What the lane's two rows have so far, and what it is multiplied by before more joins it. Without
// columns of ones `sums` is a part: the lane's.
struct Totals {
  Outputs outputs = {};
  float sums[2] = {};  // of the weights
};
struct Rescale {
  float outputs[2];
  float sums[2];
};

// S = Q K^T, from product kStep on.
template <int kStep = 0>
inline __device__ void multiply_keys(Scores& scores, const Queries& queries,
                                     unsigned long long keys) {
  wgmma(scores, queries.operand<kStep>(), keys + KeyMatrix::along(32 * kStep), kStep > 0);
  if constexpr (kStep + 1 < Queries::kSteps) multiply_keys<kStep + 1>(scores, queries, keys);
}

// Starts S = Q K^T, one group of products.
inline __device__ void start_scores(Scores& scores, const Queries& queries, unsigned keys) {
  wgmma_fence();
  multiply_keys(scores, queries, KeyMatrix::descriptor(keys));
  wgmma_commit_group();
}

// Weights as operands. Where queries take registers the last come first: ptxas gives weights those
// of the last logits, and has none of these to move away then. Sum is a parameter for it to need no
// way to add where nothing is added.
template <class Sum = Mma::WeightSum>
inline __device__ void pack(Weights& packed, const Scores& weights) {
  constexpr int kTiles = Mma::kPack / 2;  // of 8 tokens, in a register
  Sum sums[2];
#pragma unroll
  for (int n = 0; n < 4 * kTileSteps; ++n) {
    const int i = kQuerySteps > 0 ? 4 * kTileSteps - 1 - n : n;
    const int half = i % 2;
    const int first = i / 4 * Mma::kStepTokens / 8 + i % 4 / 2 * kTiles;
    float values[Mma::kPack];
    for (int j = 0; j < Mma::kPack; ++j) {
      values[j] = weights[4 * (first + j / 2) + 2 * half + j % 2];
    }
    unsigned& word = packed.steps[i / 4][i % 4];
    word = Mma::pack(values);
    if constexpr (Values::kOnes == 0) sums[half].add(word);
  }
  for (int half = 0; half < 2; ++half) packed.sums[half] = sums[half].value();
}

// P V of kSteps products' tokens, from the first one's on, and of as many dims as there are sums.
template <int kFirst, int kSteps, bool kAccumulate, int kSums>
inline __device__ void multiply_values(float (&sums)[kSums], const Weights& weights,
                                       unsigned values, int dim) {
  const unsigned long long b = Values::Operand::descriptor(values);
#pragma unroll
  for (int step = kFirst; step < kFirst + kSteps; ++step) {
    wgmma(sums, weights.steps[step], b + Values::offset(step, dim), kAccumulate || step > kFirst);
  }
}

// ---- templates/accumulate_tile/two_level.cuh ----------------------------------------------------

// The tensor cores sum the products of kPromoteTokens tokens from zero, and fp32 additions sum
// these parts: the tensor cores' accumulator is narrow (14 bits for fp8). A part is kChunk dims
// wide, as one of all dims would double O's registers; the last ones have V's columns of ones too.
struct Accumulation {
  // O becomes O * rescale + P V, and the weights' sums likewise.
  static __device__ void add(Totals& totals, const Weights& weights, unsigned values,
                             const Rescale& rescale) {
    if constexpr (kColumns == 0) {
      for (int half = 0; half < 2; ++half) {
        totals.sums[half] = totals.sums[half] * rescale.sums[half] + weights.sums[half];
      }
    }
    float part[kChunk / 2];
    float last[kChunk / 2 + kColumns];
    add_from<0>(totals, part, last, weights, values, rescale);
  }

 private:
  static constexpr int kSteps = kPromoteTokens / Mma::kStepTokens;  // of a part
  static constexpr int kChunkParts = kTileTokens / kPromoteTokens;
  static constexpr int kParts = kHeadDimV / kChunk * kChunkParts;
  static constexpr int kColumns = Values::kOnes / 2;  // of ones, that a lane has: two of each row

  // From one part on, one after the other in the same registers, as there are none for more. While
  // a consumer waits for one, the others have their turns.
  template <int kPart>
  static __device__ void add_from(Totals& totals, float (&part)[kChunk / 2],
                                  float (&last)[kChunk / 2 + kColumns], const Weights& weights,
                                  unsigned values, const Rescale& rescale) {
    if constexpr (kPart < kParts - kChunkParts) {
      add<kPart>(totals, part, weights, values, rescale);
    } else {
      add<kPart>(totals, last, weights, values, rescale);
    }
    if constexpr (kPart + 1 < kParts) {
      add_from<kPart + 1>(totals, part, last, weights, values, rescale);
    }
  }

  template <int kPart, int kSums>
  static __device__ void add(Totals& totals, float (&part)[kSums], const Weights& weights,
                             unsigned values, const Rescale& rescale) {
    constexpr bool kFirst = kPart % kChunkParts == 0;  // of its dims
    constexpr int kDim = kPart / kChunkParts * kChunk;
    wgmma_fence();
    multiply_values<kPart % kChunkParts * kSteps, kSteps, false>(part, weights, values, kDim);
    wgmma_commit_group();
    wgmma_wait_group<0>();
    hold(part);
#pragma unroll
    for (int i = 0; i < kChunk / 2; ++i) {
      float& output = totals.outputs[kDim / 2 + i];
      output = kFirst ? fmaf(output, rescale.outputs[i / 2 % 2], part[i]) : output + part[i];
    }
    if constexpr (kSums > kChunk / 2) {
      for (int half = 0; half < 2; ++half) {
        const float sum = Values::sum(&part[kChunk / 2 + 2 * half]);
        totals.sums[half] = totals.sums[half] * (kFirst ? rescale.sums[half] : 1) + sum;
      }
    }
  }
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

// ---- templates/ptx/in_place.cuh -----------------------------------------------------------------

// Loads and products that stay where they are and take no registers but their own, where the
// compiler would begin so many at once that it has none left.

inline __device__ float2 ld_shared(const float2* pair) {
  float2 result;
  asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];"
               : "=f"(result.x), "=f"(result.y)
               : "r"(static_cast<unsigned>(__cvta_generic_to_shared(pair)))
               : "memory");
  return result;
}

inline __device__ void mul_rn_f32(float& value, float factor) {
  asm volatile("mul.rn.f32 %0, %0, %1;" : "+f"(value) : "f"(factor));
}

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

// ---- templates/prefill/softmax.cuh --------------------------------------------------------------

// A lane's two columns' numbers, of as many as a tile has tokens.
inline __device__ float2 column_pair(const float* numbers, int tile) {
  return ld_shared(reinterpret_cast<const float2*>(numbers) + 4 * tile + lane_id() % 4);
}

// A consumer's online softmax, in base 2. A lane keeps rows g and g + 8 of its warp's 16.
class Softmax {
 public:
  // `scale` is that of the lane's rows' queries.
  __device__ Softmax(const Sight& sight, float logit_scale, const float (&scale)[2])
      : sight_(sight) {
    for (int half = 0; half < 2; ++half) {
      logit_scale_[half] = logit_scale * scale[half];
      offset[half] = kNoOffset;
    }
  }

  // Whether there are rows that do not see all tokens of a tile.
  __device__ bool hides(int first_token) const {
    return first_token < sight_.from || first_token + kTileTokens > sight_.to;
  }

  // Scores become logits; those of tokens that a row does not see become minus infinity.
  __device__ void scale(Scores& scores, const float* key_scales, bool hides,
                        int first_token) const {
    if constexpr (Scale::kPerToken) {
#pragma unroll
      for (int tile = 0; tile < kTokenTiles; ++tile) {
        const float2 scale = column_pair(key_scales, tile);
        for (int j = 0; j < 4; ++j) {
          mul_rn_f32(scores[4 * tile + j], j % 2 == 0 ? scale.x : scale.y);
        }
      }
    }
    if constexpr (Softcap::kOn) {
#pragma unroll
      for (int i = 0; i < kTileTokens / 2; ++i) {
        scores[i] = Softcap::apply(scores[i] * logit_scale_[i / 2 % 2]);
      }
    }
    if (hides) hide(scores, first_token);
  }

  // The offset falls to that of a tile's logits: what the weights so far are to be multiplied by.
  __device__ void lower(float (&correction)[2], const Scores& scores) {
    for (int half = 0; half < 2; ++half) correction[half] = lower(scores, half);
  }

  // Logits become weights, each times its token's factor. They are relative to the power of two
  // next above the maximum, so that how a weight is rounded does not depend on what came before it.
  __device__ void weigh(Scores& scores, const float* factor_exponents) const {
#pragma unroll
    for (int tile = 0; tile < kTokenTiles; ++tile) {
      float2 exponent = {0, 0};
      if constexpr (Scale::kPerToken) exponent = column_pair(factor_exponents, tile);
      for (int j = 0; j < 4; ++j) {
        const int half = j / 2;
        float& score = scores[4 * tile + j];
        const float factor = j % 2 == 0 ? exponent.x : exponent.y;
        score = ex2_approx_ftz(fmaf(score, scale_of(half), factor + offset[half]));
      }
    }
  }

  // What makes logits, in base 2, the exponents of weights: Mma::kWeightExponent less their
  // maximum, rounded up.
  float offset[2];

 private:
  __device__ void hide(Scores& scores, int first_token) const {
    const int column = first_token + lane_id() % 4 * 2;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int position = sight_.position[row_of_lane(half)];
      const int first = Mask::first(position) - column;
      const int end = Mask::end(position, sight_.kv_length) - column;
#pragma unroll
      for (int i = 0; i < kTileTokens / 4; ++i) {
        const int token = 8 * (i / 2) + i % 2;
        if (token < first || token >= end) scores[i / 2 * 4 + 2 * half + i % 2] = minus_infinity();
      }
    }
  }

  __device__ float scale_of(int half) const { return Softcap::kOn ? 1 : logit_scale_[half]; }

  __device__ float lower(const Scores& scores, int half) {
    float largest = minus_infinity();
#pragma unroll
    for (int tile = 0; tile < kTokenTiles; ++tile) {
      const int i = 4 * tile + 2 * half;
      largest = fmaxf(largest, fmaxf(scores[i], scores[i + 1]));
    }
    const float before = offset[half];
    largest = ceilf(quad_max(largest) * scale_of(half));
    offset[half] = fminf(before, Mma::kWeightExponent - largest);
    return ex2_approx_ftz(offset[half] - before);
  }

  // Before any logit: beside it minus infinity is the exponent of no weight, any logit's offset far
  // below.
  static constexpr float kNoOffset = 0x1p100f;

  const Sight& sight_;
  float logit_scale_[2];
};

// ---- templates/ptx/warpgroup.cuh ----------------------------------------------------------------

// What the four warps of a warpgroup do together.

// The registers of each thread from here on, a multiple of 8: fewer, or more once others have left
// them.
template <int kRegisters>
inline __device__ void setmaxnreg_dec() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
inline __device__ void setmaxnreg_inc() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

// A barrier of kCount of the block's threads; 0 is that of __syncthreads.
template <int kBarrier, int kCount>
inline __device__ void bar_sync() {
  asm volatile("bar.sync %0, %1;" ::"n"(kBarrier), "n"(kCount) : "memory");
}

// ---- templates/prefill/consumer.cuh -------------------------------------------------------------

// Rows beyond the block's see what its last one does.
inline __device__ void store_sight(Sight& sight, const Rows& rows, const LaneRows& lane) {
  const auto position = [&](int row) { return rows.position(min(row, rows.count - 1)); };
  if (lane_id() % 4 == 0) {
    for (int row : lane.row) sight.position[row % kConsumerRows] = position(row);
  }
  if (threadIdx.x % kWarpgroupThreads == 0) {
    sight.from = Mask::first(position(lane.row[0] + kConsumerRows - 1));
    sight.to = Mask::end(position(lane.row[0]), rows.kv_length);
    sight.kv_length = rows.kv_length;
    sight.tokens = tokens_of(rows);
  }
}

// The end of a consumer's rows, whose outputs are in units of `unit`: the sink joins, and output
// and log-sum-exp (natural, the sink included: the logarithm of what the output was divided by) are
// written, a row's dims four at a time.
inline __device__ void finish_rows(const PrefillArguments& arguments, const Rows& rows,
                                   const LaneRows& lane, const Softmax& softmax,
                                   const Totals& totals, float unit) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = min(lane.row[half], rows.count - 1);
    const long long index = index_of(rows, row);
    const float sum = Values::kOnes > 0 ? totals.sums[half] : quad_sum(totals.sums[half]);
    float lse = lg2_approx_ftz(sum) - softmax.offset[half];
    const float share = Sinks::join(arguments, rows.head(row), lse);
    const float factor = sum > 0 ? share * unit * rcp_approx_ftz(sum) : 0;
    // Words first and then, where there is such a row, all stores: the compiler is done with few
    // branches in half the time.
    constexpr int kPairs = kHeadDimV / 16;  // of 8 columns
    constexpr int kWords = Output::kBytes;  // of four dims
    unsigned words[kPairs][2 * Output::kBytes];
    int quad[kPairs];
#pragma unroll
    for (int pair = 0; pair < kPairs; ++pair) {
      float values[8] = {};  // formats pack eight
      quad[pair] = Values::quad(values, totals.outputs, pair, half);
      for (int i = 0; i < 4; ++i) {
        values[i] = Output::scaled(values[i] * factor, arguments.output_scale);
      }
      Output::pack(words[pair], values);
    }
    if (lane.row[half] >= rows.count) continue;
    unsigned* const output =
        reinterpret_cast<unsigned*>(arguments.output) + index * (kHeadDimV / 4) * kWords;
#pragma unroll
    for (int pair = 0; pair < kPairs; ++pair) {
      if constexpr (kWords == 2) {
        reinterpret_cast<uint2*>(output)[quad[pair]] = {words[pair][0], words[pair][1]};
      } else {
        output[quad[pair]] = words[pair][0];
      }
    }
    if (arguments.lse != 0 && lane_id() % 4 == 0) {
      constexpr float kLn2 = 0.693147181f;
      reinterpret_cast<float*>(arguments.lse)[index] = lse * kLn2;
    }
  }
}

// A warpgroup with 64 of the block's rows.
class Consumer {
 public:
  __device__ Consumer(const PrefillKernelArguments& arguments, const Memory& memory)
      : arguments_(arguments),
        memory_(memory),
        consumer_(__shfl_sync(0xffffffff, warp_id() / 4 - 1, 0)) {}

  __device__ void run() {
    const Rows rows = rows_of_prefill(arguments_);
    // One that has no rows leaves here, where the compiler sees that all lanes do: the loop's
    // numbers stay in uniform registers.
    if (consumer_ >= __shfl_sync(0xffffffff, consumers_of(rows), 0)) return;
    const LaneRows lane;
    float scale[2];
    store_queries(scale, arguments_, rows, lane, memory_.base + consumer_ * QueryMatrix::kBytes);
    fence_proxy_async();
    Sight& sight = memory_.sight(consumer_);
    store_sight(sight, rows, lane);
    if (consumer_ == 0) {
      bar_sync<1, kWarpgroupThreads>();
    } else if (consumer_ == 1) {
      bar_sync<2, kWarpgroupThreads>();
    } else {
      bar_sync<3, kWarpgroupThreads>();
    }
    const Queries queries(memory_.queries(consumer_));
    const float logit_scale = kLogitScale * Scale::of_head(arguments_.cache.k_scale, rows.kv_head);
    Softmax softmax(sight, logit_scale, scale);
    Totals totals;
    Stage stage;
#pragma unroll 1
    for (int token = sight.tokens.first; token < sight.tokens.end; token += kTileTokens) {
      add_tile(totals, softmax, queries, stage, token);
      stage.advance();
    }
    // The rows once more, which would have taken registers all the while.
    finish_rows(arguments_, rows_of_prefill(arguments_), LaneRows(), softmax, totals, unit(stage));
  }

 private:
  // What O is in units of: V's scale, or the largest of those of all tokens, which the last tile's
  // factors, those of the stage before, end with.
  __device__ float unit(const Stage& stage) const {
    if constexpr (!Scale::kPerToken) {
      return Scale::of_head(arguments_.cache.v_scale, kv_head_of_block());
    }
    return memory_.factors({(stage.index + kStages - 1) % kStages})[kTileTokens + 1];
  }

  // The tile at `token` joins O. While a consumer waits for products, the others have their turns.
  // Weights are packed after a wait for memory, as the compiler moves nothing across: packed one
  // after the other between the exponentials, each would wait for its own.
  __device__ void add_tile(Totals& totals, Softmax& softmax, const Queries& queries,
                           const Stage& stage, int token) const {
    Scores scores;
    memory_.wait_full(Barrier::keys_full, stage);
    start_scores(scores, queries, memory_.keys(stage.index));
    const bool hides = softmax.hides(token);
    wgmma_wait_group<0>();
    hold(scores);
    softmax.scale(scores, memory_.key_scales(stage), hides, token);
    Rescale rescale;
    softmax.lower(rescale.sums, scores);
    softmax.weigh(scores, memory_.factors(stage));
    memory_.wait_full(Barrier::values_full, stage);
    Weights weights;
    pack(weights, scores);
    for (int half = 0; half < 2; ++half) {
      rescale.outputs[half] = rescale.sums[half];
      if constexpr (Scale::kPerToken) rescale.outputs[half] *= memory_.factors(stage)[kTileTokens];
    }
    Accumulation::add(totals, weights, memory_.values(stage.index), rescale);
    memory_.arrive(Barrier::empty, stage.index);
  }

  const PrefillKernelArguments& arguments_;
  const Memory& memory_;
  int consumer_;
};

// ---- templates/prefill/ones.cuh -----------------------------------------------------------------

// V's columns of ones of tokens that have no scales of their own, once for all tiles.
inline __device__ void store_ones(const Memory& memory) {
  if constexpr (Values::kOnes > 0 && !Scale::kPerToken) {
    using Operand = Values::Operand;
    const float ones[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    unsigned words[2 * Cache::kBytes];
    Cache::pack(words, ones);
    constexpr int kUnits = Values::kOnes * Operand::kUnits;  // of a stage
    for (int i = threadIdx.x; i < kStages * kUnits; i += kThreads) {
      const int row = kHeadDimV + i % 8, unit = i % kUnits / 8;
      char* const values = memory.at(memory.values(i / kUnits));
      *reinterpret_cast<uint4*>(values + Operand::unit(row, unit)) = {words[0], words[0], words[0],
                                                                      words[0]};
    }
    fence_proxy_async();
  }
}

// Those of the warp's tokens of a tile, in the order that V's have. Weights that were multiplied by
// factors count for what they were: even columns have the factors' reciprocals up to kOddColumns,
// odd ones the larger, divided by it. A factor below 2^-16 leaves its weight so few of e4m3's bits
// that it may count for less.
inline __device__ void store_ones(const Memory& memory, const Stage& stage) {
  using Operand = Values::Operand;
  const int lane = mov_laneid();  // the producer has no registers for places all the while
  const int row = lane % 16 / 4 * 2, t = lane % 4;
  char* const values = memory.at(memory.values(stage.index)) + 4 * t;
#pragma unroll 1
  for (int i = lane / 16; i < kWarpStrips; i += 2) {
    const int strip = first_strip_of_warp() + i;
    if (kStrips % 4 != 0 && strip >= kStrips) break;
    const float* const exponents = memory.factors(stage) + 16 * strip;
    float columns[8];  // an even one's four tokens, then an odd one's
    for (int j = 0; j < 4; ++j) {
      const int exponent = static_cast<int>(exponents[2 * t + j % 2 + j / 2 * 8]);
      const float reciprocal = __uint_as_float(127 - exponent << 23);
      const bool odd = reciprocal > Values::kOddColumns;
      columns[j] = odd ? 0 : reciprocal;
      columns[4 + j] = odd ? reciprocal * (1 / Values::kOddColumns) : 0;
    }
    unsigned words[2 * Cache::kBytes];
    Cache::pack(words, columns);
    for (int j = 0; j < 2; ++j) {
      *reinterpret_cast<unsigned*>(values + Operand::unit(kHeadDimV + row + j, strip)) = words[j];
    }
  }
}

// ---- templates/ptx/load_if.cuh ------------------------------------------------------------------

// Loads of global memory, 4 or 16 bytes a lane, by those lanes that want them: the others get
// zeros, and their addresses are not read.

inline __device__ void ld_global_if(unsigned (&words)[1], unsigned long long address, bool wanted) {
  asm volatile(
      "{\n\t"
      ".reg .pred wanted;\n\t"
      "setp.ne.u32 wanted, %2, 0;\n\t"
      "mov.u32 %0, 0;\n\t"
      "@wanted ld.global.u32 %0, [%1];\n\t"
      "}"
      : "=&r"(words[0])
      : "l"(address), "r"(static_cast<unsigned>(wanted))
      : "memory");
}

inline __device__ void ld_global_if(unsigned (&words)[4], unsigned long long address, bool wanted) {
  asm volatile(
      "{\n\t"
      ".reg .pred wanted;\n\t"
      "setp.ne.u32 wanted, %5, 0;\n\t"
      "mov.u32 %0, 0;\n\t"
      "mov.u32 %1, 0;\n\t"
      "mov.u32 %2, 0;\n\t"
      "mov.u32 %3, 0;\n\t"
      "@wanted ld.global.v4.u32 {%0, %1, %2, %3}, [%4];\n\t"
      "}"
      : "=&r"(words[0]), "=&r"(words[1]), "=&r"(words[2]), "=&r"(words[3])
      : "l"(address), "r"(static_cast<unsigned>(wanted))
      : "memory");
}

// ---- templates/prefill/producer.cuh -------------------------------------------------------------

// As an exponent, without its sign: nothing is left of a weight long before.
constexpr unsigned kSmallestFactor = 100;

// The scales of a tile's tokens, of which the warp's lanes have theirs. V's, powers of two, become
// the exponents of P's factors, relative to the largest scale so far, so that P stays within its
// format; O is in units of that largest scale.
class TokenScales {
 public:
  // Starts to read those of the warp's tokens: zeros of those that are not there.
  __device__ void load(const KvCache& cache, const TileRows& rows) {
#pragma unroll
    for (int i = 0; i < TileRows::kLookUps; ++i) {
      const int row = rows.row(cache, i);
      const long long offset = max(row, 0) * 4ll;
      ld_global_if(k_[i], cache.k_scale + offset, row >= 0);
      ld_global_if(v_[i], cache.v_scale + offset, row >= 0);
    }
  }

  // They go to the stage's places, once all warps have theirs.
  __device__ void store(const Memory& memory, const Stage& stage) {
    unsigned largest = 0;
    for (const unsigned(&v)[1] : v_) largest = max(largest, v[0] >> 23);
    largest = __reduce_max_sync(0xffffffff, largest);
    unsigned* const of_warps = memory.largest(tile_++);
    if (mov_laneid() == 0) of_warps[mov_tid_x() / 32 % 4] = largest;  // no register all the while
    bar_sync<kConsumers + 1, kWarpgroupThreads>();
    const unsigned before = largest_;
    for (int warp = 0; warp < 4; ++warp) largest_ = max(largest_, of_warps[warp]);
    float* const factors = memory.factors(stage);
#pragma unroll
    for (int i = 0; i < TileRows::kLookUps; ++i) {
      const int place = TileRows::tile_place(i);
      if (!TileRows::is_mine(i) || place >= kTileTokens) break;
      memory.key_scales(stage)[place] = __uint_as_float(k_[i][0]);
      factors[place] = -static_cast<float>(min(largest_ - (v_[i][0] >> 23), kSmallestFactor));
    }
    if (threadIdx.x == 0) {
      factors[kTileTokens] = ex2_approx_ftz(-static_cast<float>(largest_ - before));
      factors[kTileTokens + 1] = __uint_as_float(largest_ << 23);
    }
  }

 private:
  unsigned k_[TileRows::kLookUps][1];
  unsigned v_[TileRows::kLookUps][1];
  unsigned largest_ = 0;  // exponent, biased
  int tile_ = 0;
};

// The warpgroup that brings tiles to shared memory.
class Producer {
 public:
  __device__ Producer(const PrefillKernelArguments& arguments, const Memory& memory)
      : arguments_(arguments), memory_(memory) {}

  // A tile's copies are started when what was copied before is in its place, and come while the
  // consumers are tiles behind.
  __device__ void run(const Tokens& tokens) {
    TileRows rows;
    rows.look_up(arguments_.cache, tokens.first, tokens.end);
    Stage stage;
    unsigned parity = 0;  // of V's copies
#pragma unroll 1
    for (int token = tokens.first; token < tokens.end; token += kTileTokens) {
      memory_.wait_empty(stage);
      start(rows, stage.index);
      rows.look_up(arguments_.cache, token + kTileTokens, tokens.end);
      if constexpr (Scale::kPerToken) scales_.store(memory_, stage);
      memory_.arrive(Barrier::keys_full, stage.index);
      mbarrier_wait(memory_.barrier(Barrier::values_copied, 0), parity);
      finish_values(stage, tokens.end - token);
      memory_.arrive(Barrier::values_full, stage.index);
      stage.advance();
      parity ^= 1;
    }
  }

 private:
  __device__ void start(const TileRows& rows, int stage) {
    if constexpr (Scale::kPerToken) scales_.load(arguments_.cache, rows);
    TileCopy::start(arguments_, rows, memory_, memory_.keys(stage),
                    memory_.barrier(Barrier::keys_full, stage), memory_.copied_values(stage),
                    memory_.barrier(Barrier::values_copied, 0));
    memory_.arrive(Barrier::values_copied, 0);
  }

  // V goes to its place, and `wanted` of the tile's tokens are.
  __device__ void finish_values(const Stage& stage, int wanted) {
    const unsigned copied = memory_.copied_values(stage.index);
    TileCopy::finish(memory_.at(copied), wanted);
    const int first = first_strip_of_warp();
    Values::place<kWarpStrips>(memory_.values(stage.index), copied, first,
                               kStrips % 4 == 0 ? first + kWarpStrips : kStrips);
    if constexpr (Values::kOnes > 0 && Scale::kPerToken) store_ones(memory_, stage);
    fence_proxy_async();
  }

  const PrefillKernelArguments& arguments_;
  const Memory& memory_;
  TokenScales scales_;
};

// ---- templates/kernels/prefill.cuh --------------------------------------------------------------

extern __shared__ __align__(1024) uint4 shared_memory[];

// Attention of many query tokens a sequence over its KV cache. A block takes up to kRows query
// rows of one KV head over all the tokens that these see. One warpgroup brings tiles of tokens to
// shared memory, as wgmma takes them, and leaves most of its registers to the others, which have 64
// rows each.
extern "C" __global__ void __launch_bounds__(kThreads, 1)
    octavo_prefill(const __grid_constant__ PrefillKernelArguments arguments) {
  Launch::wait();
  Launch::let_next_begin();
  const int consumers = consumers_of(rows_of_prefill(arguments));
  if (consumers <= 0) return;
  const Memory memory(shared_memory);
  if (threadIdx.x == 0) memory.start_barriers(consumers);
  store_ones(memory);
  __syncthreads();

  // Each finds out about the rows by itself: neither has a register for what the other needs.
  if (warp_id() < 4) {
    setmaxnreg_dec<kProducerRegisters>();
    Producer(arguments, memory).run(tokens_of(rows_of_prefill(arguments)));
  } else {
    setmaxnreg_inc<kConsumerRegisters>();
    Consumer(arguments, memory).run();
  }
}

}  // namespace octavo
