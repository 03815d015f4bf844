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
struct DecodeArguments {
  KvCache cache;
  Batch batch;
  DeviceAddress q;               // [tokens, query_heads, qk_dim]
  DeviceAddress output;          // [tokens, query_heads, v_dim], packed
  DeviceAddress lse;             // fp32 [tokens, query_heads]: natural logarithm of the softmax's
                                 // denominator, the sink included; 0: not wanted
  DeviceAddress sinks;           // fp32 [query_heads], logits; with sinks only
  DeviceAddress partial_output;  // fp32 [splits, tokens, query_heads, v_dim]; splits > 1 only
  DeviceAddress partial_lse;     // fp32 [splits, tokens, query_heads], base 2; splits > 1 only
  DeviceAddress arrivals;  // uint32, one a group of splits, zero before and after; fused merge
  long long q_stride;      // elements from one token's row to the next
  float output_scale;      // an e4m3 output holds value / output_scale
  int splits;              // parts that each sequence's tokens are cut into
};

// What decode left in partial_output and partial_lse becomes output and lse.
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
  static __device__ float join(const DecodeArguments&, int, float&) { return 1; }
};

// ---- templates/attention/rows.cuh ---------------------------------------------------------------

constexpr int kRows = 16 * kRowTiles;  // of a block

inline __device__ int lane_id() { return threadIdx.x % 32; }
inline __device__ int warp_id() { return threadIdx.x / 32; }

inline __device__ float minus_infinity() { return __uint_as_float(0xff800000); }

// Where nothing has been seen yet, exponents are taken from 0 instead of minus infinity.
inline __device__ float finite(float maximum) { return maximum == minus_infinity() ? 0 : maximum; }

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

// blockIdx: x split, y row block and KV head, z sequence.
inline __device__ Rows rows_of_block(const Batch& batch) {
  const int sequence = blockIdx.z;
  const int* token_start = reinterpret_cast<const int*>(batch.token_start) + sequence;
  const int tokens = token_start[1] - token_start[0];
  const int kv_length = reinterpret_cast<const int*>(batch.kv_length)[sequence];
  Rows rows;
  rows.sequence = sequence;
  rows.kv_head = blockIdx.y % kKvHeads;
  rows.first = blockIdx.y / kKvHeads * kRows;
  rows.count = min(tokens * kGroup - rows.first, kRows);
  rows.token_start = token_start[0];
  rows.first_position = kv_length - tokens;
  rows.kv_length = kv_length;
  return rows;
}

// Where in a [tokens, query_heads] tensor a row is.
inline __device__ long long index_of(const Rows& rows, int row) {
  return static_cast<long long>(rows.token(row)) * kQueryHeads + rows.head(row);
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

constexpr int kQuads = kHeadDimV / 4;  // values are merged and written four at a time

// What the block's rows became over parts of the tokens: its warps' parts, in shared memory, or the
// splits, in global memory. A part has each row's output and its log-sum-exp in base 2, the sink
// left out; an empty part has zeros and minus infinity.
struct Parts {
  const float4* outputs;  // [count, rows, kQuads]
  const float* lse;       // [count, rows]
  int count;
  int rows;        // of a part
  bool of_splits;  // their rows are the batch's; else the block's, and their quads are swizzled
};

// Where a quad of a row of a warp's part is, so that neither the lanes that write nor those that
// read have a bank conflict: a quad is 4 banks, g's row starts at bank 0, and t's quads are a
// multiple of 4 or 8 from each other.
inline __device__ int swizzled_quad(int row, int quad) {
  if constexpr (kQuads % 8 == 0) return quad ^ quad / 8 % 4 * 2 ^ row % 2;
  return quad;
}

inline __device__ Parts parts_of_splits(const DecodeArguments& arguments) {
  return {reinterpret_cast<const float4*>(arguments.partial_output),
          reinterpret_cast<const float*>(arguments.partial_lse), arguments.splits,
          arguments.batch.tokens * kQueryHeads, true};
}

// Four dims of a row.
struct Quad {
  float values[4];
  float lse;
};

// The end of a row: the sink joins, and output and log-sum-exp (natural, the sink included: the
// logarithm of what the output was divided by) are written.
inline __device__ void finish(const DecodeArguments& arguments, long long index, int head, int quad,
                              Quad result) {
  const float share = Sinks::join(arguments, head, result.lse);
  float scaled[8] = {};  // formats pack eight
  for (int i = 0; i < 4; ++i) {
    scaled[i] = Output::scaled(result.values[i] * share, arguments.output_scale);
  }
  unsigned words[2 * Output::kBytes];
  Output::pack(words, scaled);
  unsigned* output = reinterpret_cast<unsigned*>(arguments.output) +
                     (index * kHeadDimV + quad * 4) * Output::kBytes / 4;
  if constexpr (Output::kBytes == 2) {
    *reinterpret_cast<uint2*>(output) = {words[0], words[1]};
  } else {
    *output = words[0];
  }
  if (quad == 0 && arguments.lse != 0) {
    constexpr float kLn2 = 0.693147181f;
    reinterpret_cast<float*>(arguments.lse)[index] = result.lse * kLn2;
  }
}

// Or its end in one split.
inline __device__ void store_part(const DecodeArguments& arguments, long long index, int quad,
                                  const Quad& result) {
  index += blockIdx.x * static_cast<long long>(arguments.batch.tokens) * kQueryHeads;
  if (quad == 0) reinterpret_cast<float*>(arguments.partial_lse)[index] = result.lse;
  reinterpret_cast<float4*>(arguments.partial_output)[index * kQuads + quad] = {
      result.values[0], result.values[1], result.values[2], result.values[3]};
}

// The sum over the two lanes of a quad.
inline __device__ float pair_sum(float value) {
  return value + __shfl_xor_sync(0xffffffff, value, 16);
}

// Merges a quad's parts. Two lanes, 16 apart, take every other part each, kBatch at a time: the
// latency of memory is what a merge waits for. The order is the same whoever does it, so that the
// bits depend on nothing else.
inline __device__ Quad merge_quad(const float4* outputs, const float* lse, const Parts& parts) {
  constexpr int kBatch = 4;
  float maximum = minus_infinity();
  float total = 0;
  Quad result = {};
#pragma unroll 1
  for (int first = lane_id() / 16; first < parts.count; first += 2 * kBatch) {
    float part_lse[kBatch];
    float4 part[kBatch];
    float largest = maximum;
#pragma unroll
    for (int j = 0; j < kBatch; ++j) {  // past the end, the last one again, without weight
      const long long row =
          static_cast<long long>(min(first + 2 * j, parts.count - 1)) * parts.rows;
      part[j] = outputs[row * kQuads];
      part_lse[j] = lse[row];
      if (first + 2 * j >= parts.count) part_lse[j] = minus_infinity();
      largest = fmaxf(largest, part_lse[j]);
    }
    const float correction = ex2_approx_ftz(maximum - finite(largest));
    maximum = largest;
    total *= correction;
    for (float& value : result.values) value *= correction;
#pragma unroll
    for (int j = 0; j < kBatch; ++j) {
      const float weight = ex2_approx_ftz(part_lse[j] - finite(maximum));
      total += weight;
      result.values[0] += weight * part[j].x, result.values[1] += weight * part[j].y;
      result.values[2] += weight * part[j].z, result.values[3] += weight * part[j].w;
    }
  }
  const float largest = fmaxf(maximum, __shfl_xor_sync(0xffffffff, maximum, 16));
  const float correction = ex2_approx_ftz(maximum - finite(largest));
  maximum = largest;
  total = pair_sum(total * correction);
  for (float& value : result.values) value = pair_sum(value * correction);
  const float reciprocal = total > 0 ? rcp_approx_ftz(total) : 0;
  for (float& value : result.values) value *= reciprocal;
  result.lse = maximum + lg2_approx_ftz(total);
  return result;
}

// Merges the parts of the block's rows: the splits' into the batch's output, the warps' into that
// or, where there are splits, into the block's split.
inline __device__ void merge_parts(const DecodeArguments& arguments, const Rows& rows,
                                   const Parts& parts) {
  const int quads = rows.count * kQuads;
#pragma unroll 1
  for (int first = warp_id() * 16; first < quads; first += kThreads / 2) {
    const int place = first + lane_id() % 16;
    const int row = min(place, quads - 1) / kQuads;
    const int quad = min(place, quads - 1) % kQuads;
    const long long index = index_of(rows, row);
    const long long from = parts.of_splits ? index : row;
    const int from_quad = parts.of_splits ? quad : swizzled_quad(row, quad);
    const Quad result =
        merge_quad(parts.outputs + from * kQuads + from_quad, parts.lse + from, parts);
    if (lane_id() >= 16 || place >= quads) continue;
    if (parts.of_splits || arguments.splits == 1) {
      finish(arguments, index, rows.head(row), quad, result);
    } else {
      store_part(arguments, index, quad, result);
    }
  }
}

// ---- templates/kernels/merge.cuh ----------------------------------------------------------------

// Makes the output of what decode's splits left. A block has the rows that a block of decode has.
extern "C" __global__ void __launch_bounds__(kThreads)
    octavo_merge(const __grid_constant__ MergeArguments arguments) {
  const Rows rows = rows_of_block(arguments.batch);
  if (rows.count <= 0) return;
  merge_parts(arguments, rows, parts_of_splits(arguments));
}

}  // namespace octavo
