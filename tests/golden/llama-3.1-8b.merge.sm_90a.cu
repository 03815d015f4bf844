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
  DeviceAddress page_table;  // int32 [batch, page_table_stride]: page of each page_size tokens;
                             // paged. append writes nothing for tokens whose page is negative
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

// How grids of a stream follow each other: the next one's blocks may take their places as soon as
// this one's leave them, and wait there for its end. `hint` is done before the wait: what it reads
// may be about to change, and nothing may depend on it but time.
struct Launch {
  template <class Hint>
  static __device__ void begin(const Hint& hint) {
    griddepcontrol_launch_dependents();
    hint();
    griddepcontrol_wait();
  }
  static __device__ void begin() {
    begin([] {});
  }
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

// Loads and stores of words that other blocks of the device write or read meanwhile: each word is
// seen whole, old or new, and nothing is said about the others.

// Words that are not wanted are all ones.
inline __device__ uint2 ld_relaxed_gpu_if(bool wanted, const uint2* address) {
  uint2 words = {~0u, ~0u};
  asm volatile(
      "{\n\t"
      ".reg .pred p;\n\t"
      "setp.ne.s32 p, %3, 0;\n\t"
      "@p ld.relaxed.gpu.global.v2.u32 {%0, %1}, [%2];\n\t"
      "}"
      : "+r"(words.x), "+r"(words.y)
      : "l"(__cvta_generic_to_global(address)), "r"(static_cast<int>(wanted))
      : "memory");
  return words;
}

inline __device__ void st_global_if(bool wanted, uint2* address, uint2 words) {
  asm volatile(
      "{\n\t"
      ".reg .pred p;\n\t"
      "setp.ne.s32 p, %3, 0;\n\t"
      "@p st.global.v2.u32 [%0], {%1, %2};\n\t"
      "}" ::"l"(__cvta_generic_to_global(address)),
      "r"(words.x), "r"(words.y), "r"(static_cast<int>(wanted))
      : "memory");
}

inline __device__ void st_relaxed_gpu(uint2* address, uint2 words) {
  asm volatile(
      "st.relaxed.gpu.global.v2.u32 [%0], {%1, %2};" ::"l"(__cvta_generic_to_global(address)),
      "r"(words.x), "r"(words.y)
      : "memory");
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

  // Joins other parts, in their order, so that the bits depend on nothing else.
  template <int kCount>
  __device__ void join(const RowPart (&parts)[kCount]) {
    float largest = maximum;
    for (const RowPart& part : parts) largest = fmaxf(largest, part.maximum);
    scale(ex2_approx_ftz(maximum - finite(largest)));
    maximum = largest;
#pragma unroll
    for (const RowPart& part : parts) {
      const float weight = ex2_approx_ftz(part.maximum - finite(largest));
      sum += weight * part.sum;
      for (int i = 0; i < 2; ++i) outputs[i] += weight * part.outputs[i];
    }
  }

  __device__ void scale(float factor) {
    sum *= factor;
    for (float& output : outputs) output *= factor;
  }
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

// Splits lie in global memory, a row of each as strips of 64 dims, two a lane. Their numbers are
// kept as complements: where a word is zero nobody has written it yet, as no arithmetic gives the
// NaN that zero would stand for. So each word tells by itself whether it is there. Who has read it
// sets it back to zero.
constexpr int kStrips = (kPairs + 31) / 32;  // of a row

struct SplitStrip {
  uint2* outputs;            // of this lane's pair, of the first split
  uint2* sums;               // the row's maximum and sum, which each of its strips has
  long long outputs_stride;  // from one split to the next
  long long sums_stride;

  __device__ SplitStrip(const DecodeArguments& arguments, long long index, int pair)
      : outputs(reinterpret_cast<uint2*>(arguments.partial_output) + index * kPairs + pair),
        sums(reinterpret_cast<uint2*>(arguments.partial_sums) + index * kStrips + pair / 32) {
    const long long rows = static_cast<long long>(arguments.batch.tokens) * kQueryHeads;
    outputs_stride = rows * kPairs, sums_stride = rows * kStrips;
  }

  __device__ void write(int split, int pair, const RowPart& part) const {
    st_relaxed_gpu(outputs + split * outputs_stride, complement(part.outputs[0], part.outputs[1]));
    if (pair % 32 != 0) return;
    st_relaxed_gpu(sums + split * sums_stride, complement(part.maximum, part.sum));
  }

 private:
  static __device__ uint2 complement(float x, float y) {
    return {~__float_as_uint(x), ~__float_as_uint(y)};
  }
};

// Splits that are merged at once; each kAtOnce neighbouring lanes know a number of each of them.
constexpr int kAtOnce = 8;

inline __device__ float max_at_once(float value) {
  for (int mask = kAtOnce / 2; mask > 0; mask /= 2) {
    value = fmaxf(value, __shfl_xor_sync(0xffffffff, value, mask));
  }
  return value;
}

inline __device__ float sum_at_once(float value) {
  for (int mask = kAtOnce / 2; mask > 0; mask /= 2) {
    value += __shfl_xor_sync(0xffffffff, value, mask);
  }
  return value;
}

// Waits for a strip's splits and merges them, kAtOnce at a time; lanes of a split's number read its
// maximum and sum. Nothing branches, since this is the end that all else waits for, and lanes
// leave the wait together, without which the compiler writes all that follows twice.
// `has_pair`: of the row's strips the last one may be narrower than the warp.
inline __device__ RowPart merge_strip(SplitStrip strip, int splits, bool has_pair) {
  RowPart row;
#pragma unroll 1
  for (; splits > 0; splits -= kAtOnce) {
    const int split = lane_id() % kAtOnce;
    uint2* const of_lane = strip.sums + split * strip.sums_stride;
    const bool has_sums = split < splits;
    const int pairs = has_pair ? splits : 0;
    uint2 outputs[kAtOnce], sums;
    unsigned least;
    do {
      const uint2* from = strip.outputs;
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i, from += strip.outputs_stride) {
        outputs[i] = ld_relaxed_gpu_if(i < pairs, from);
      }
      sums = ld_relaxed_gpu_if(has_sums, of_lane);
      least = min(sums.x, sums.y);
      for (const uint2& pair : outputs) least = min(least, min(pair.x, pair.y));
    } while (__any_sync(0xffffffff, least == 0));

    const float maximum = has_sums ? __uint_as_float(~sums.x) : minus_infinity();
    const float largest = fmaxf(row.maximum, max_at_once(maximum));
    const float weight = ex2_approx_ftz(maximum - finite(largest));
    row.scale(ex2_approx_ftz(row.maximum - finite(largest)));
    row.maximum = largest;
    row.sum += sum_at_once(has_sums ? weight * __uint_as_float(~sums.y) : 0);
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i, strip.outputs += strip.outputs_stride) {
      const float of_split = __shfl_sync(0xffffffff, weight, i);
      row.outputs[0] += of_split * __uint_as_float(~outputs[i].x);
      row.outputs[1] += of_split * __uint_as_float(~outputs[i].y);
      st_global_if(i < pairs, strip.outputs, {0, 0});
    }
    st_global_if(has_sums, of_lane, {0, 0});
    strip.sums += kAtOnce * strip.sums_stride;
  }
  return row;
}

// Merges the splits of the block's rows, and leaves their memory as zeros.
inline __device__ void merge_splits(const DecodeArguments& arguments, const Rows& rows) {
#pragma unroll 1
  for (int strip = warp_id(); strip < rows.count * kStrips; strip += kThreads / 32) {
    const int row = strip / kStrips, pair = strip % kStrips * 32 + lane_id();
    const long long index = index_of(rows, row);
    const bool has_pair = pair < kPairs;
    const RowPart merged =
        merge_strip(SplitStrip(arguments, index, pair), arguments.splits, has_pair);
    if (has_pair) finish(arguments, index, rows.head(row), pair, merged);
  }
}

// ---- templates/kernels/merge.cuh ----------------------------------------------------------------

// Makes the output of what decode's splits left. A block has the rows that a block of decode has.
extern "C" __global__ void __launch_bounds__(kThreads)
    octavo_merge(const __grid_constant__ MergeArguments arguments) {
  Launch::begin();
  const Rows rows = rows_of_block(arguments.batch);
  if (rows.count <= 0) return;
  merge_splits(arguments, rows);
}

}  // namespace octavo
