// Octavo 0.1.0: merge for sm_90a. Generated; edit the spec or templates/ instead.
//
// Spec 93fc16e994a21787
//   octavo: 1
//   attention:
//     query_heads: 32
//     kv_heads: 8
//     head_dim: 128
//     mask: causal
//     softmax_scale: 0.08838834764831843
//     softcap: 0
//     sinks: false
//     rope: {pairing: half, dims: 128, theta: 500000}
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
//   warps: 8, stages: 2, tile_tokens: 32, row_tiles: 1
//   128 threads, 0 bytes of dynamic shared memory

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
constexpr int kRowTiles = 1;
constexpr int kThreads = 128;

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

// ---- templates/kernels/merge.cuh ----------------------------------------------------------------

// Makes the output of what decode's splits left. A block has the rows that a block of decode has.
extern "C" __global__ void __launch_bounds__(kThreads)
    octavo_merge(const __grid_constant__ MergeArguments arguments) {
  Launch::wait();
  Launch::let_next_begin();
  const Rows rows = rows_of_block(arguments.batch);
  if (rows.count <= 0) return;
  merge_splits(arguments, rows);
}

}  // namespace octavo
