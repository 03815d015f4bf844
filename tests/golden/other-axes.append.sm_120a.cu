// Octavo 0.1.0: append for sm_120a. Generated; edit the spec or templates/ instead.
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
//   warps: 4
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

constexpr int kQueryHeads = 10;
constexpr int kKvHeads = 2;
constexpr int kHeadDimQk = 96;
constexpr int kHeadDimV = 64;
constexpr int kRopeDims = 32;
constexpr int kThreads = 128;
constexpr int kResidentBlocks = 8;
constexpr int kLanesQk = 16;
constexpr int kLanesV = 8;
constexpr int kRowsInFlight = 2;
constexpr bool kHistoryReady = true;

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

// ---- templates/rope/rotate.cuh ------------------------------------------------------------------

// Rotary embedding of the values that one lane holds, whichever of them form the pairs.

// Rotates the four pairs of a lane, pairs 4 * lane to 4 * lane + 3 of the row, by the angles of its
// position: values[kStep * i] with values[kStep * i + kPartner]. A negative position leaves the row
// as it is, and so do lanes beyond the rotated dimensions.
template <int kStep, int kPartner>
__device__ void rotate_pairs(float (&values)[8], DeviceAddress table, int position, int lane) {
  if (lane >= kRopeDims / 8 || position < 0) return;
  const long long start = static_cast<long long>(position) * kRopeDims + 8 * lane;
  float angles[2][4];  // cosine and sine of two pairs, twice
  ld_global(angles[0], table + start * 4);
  ld_global(angles[1], table + start * 4 + 16);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float cosine = angles[i / 2][i % 2 * 2];
    const float sine = angles[i / 2][i % 2 * 2 + 1];
    float& a = values[kStep * i];
    float& b = values[kStep * i + kPartner];
    const float rotated = fmaf(b, -sine, a * cosine);
    b = fmaf(a, sine, b * cosine);
    a = rotated;
  }
}

// ---- templates/row/whole.cuh --------------------------------------------------------------------

// A row on its lanes: each holds eight neighbouring values.
struct WholeRow {
  template <int kBytes>
  static __device__ void load(unsigned (&words)[2 * kBytes], unsigned long long row, int lane) {
    ld_global(words, row + 8 * lane * kBytes);
  }

  template <int kBytes>
  static __device__ void store(unsigned long long row, const unsigned (&words)[2 * kBytes],
                               int lane) {
    st_global(row + 8 * lane * kBytes, words);
  }
};

// ---- templates/rope/interleaved.cuh -------------------------------------------------------------

// Rotary embedding that pairs dimension 2i with 2i + 1.
struct Rope {
  using Row = WholeRow;
  static constexpr int kDims = kRopeDims;

  static __device__ void rotate(float (&values)[8], DeviceAddress table, int position, int lane) {
    rotate_pairs<2, 1>(values, table, position, lane);
  }
};

// ---- templates/kernels/append.cuh ---------------------------------------------------------------

// append: K and V of new tokens into the cache, in its format, with their scales. With RoPE, K is
// rotated on its way and Q from q to q_rotated. A row is one head of one token; neighbouring lanes
// hold it, eight values each.

// Where a token belongs.
struct Place {
  int position;   // in its sequence
  long long row;  // of KV head 0 in the cache; negative where there is none
};

__device__ Place place_of(const AppendArguments& arguments, int token) {
  const Batch& batch = arguments.batch;
  const int* starts = reinterpret_cast<const int*>(batch.token_start);
  int sequence = 0;  // the token is in one of sequence .. end - 1
  int end = batch.sequences;
  while (end - sequence > 1) {
    const int middle = (sequence + end) / 2;
    (starts[middle] <= token ? sequence : end) = middle;
  }
  const int length = reinterpret_cast<const int*>(batch.kv_length)[sequence];
  const int position = length - (starts[sequence + 1] - token);
  if (position < 0) return {-1, -1};
  return {position, KvLayout::row(arguments.cache, sequence, 0, position)};
}

// K or V: quantised, then stored where the token's place in the cache is.
template <class Row, int kDim, int kLanes>
struct ToCache {
  const KvCache& cache;
  DeviceAddress values;
  DeviceAddress scales;

  __device__ void operator()(const float (&unscaled)[8], const Place& place, int, int head,
                             int lane) const {
    const float scale = Scale::of_row<kLanes>(scales, head, unscaled);
    if (place.row < 0) return;
    const long long row = place.row + head * KvLayout::head_stride(cache);
    if (lane == 0) Scale::store(scales, row, scale);
    if (8 * lane >= kDim) return;
    float scaled[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) scaled[i] = unscaled[i] * Scale::reciprocal(scale);
    unsigned words[2 * Cache::kBytes];
    Cache::pack(words, scaled);
    Row::template store<Cache::kBytes>(values + row * kDim * Cache::kBytes, words, lane);
  }
};

// Q: stored as it came.
struct ToQuery {
  DeviceAddress values;
  long long stride;

  __device__ void operator()(const float (&rotated)[8], const Place& place, int token, int head,
                             int lane) const {
    if (place.position < 0 || 8 * lane >= kHeadDimQk) return;
    unsigned words[2 * Input::kBytes];
    Input::pack(words, rotated);
    const long long row = token * stride + head * kHeadDimQk;
    Rope::Row::store<Input::kBytes>(values + row * Input::kBytes, words, lane);
  }
};

// Takes a block's share of the rows of one tensor [tokens, kHeads, kDim] to `destination`.
template <class Row, int kHeads, int kDim, int kLanes, bool kRotated, class Destination>
__device__ void append_rows(const AppendArguments& arguments, int block, DeviceAddress source,
                            long long stride, const Destination& destination) {
  constexpr int kRowsAtOnce = kThreads / kLanes;
  constexpr int kRows = kRowsAtOnce * kRowsInFlight;
  constexpr int kTokens = (kRows - 1) / kHeads + 2;  // that the block's rows may belong to
  const int tokens = arguments.batch.tokens;
  const int first_row = block * kRows + threadIdx.x / kLanes;
  const int first_token = block * kRows / kHeads;
  const int lane = threadIdx.x % kLanes;

  // The rows are on their way while the tokens' places are looked up.
  unsigned words[kRowsInFlight][2 * Input::kBytes] = {};
#pragma unroll
  for (int i = 0; i < kRowsInFlight; ++i) {
    const int row = first_row + i * kRowsAtOnce;
    const int token = row / kHeads;
    if (token < tokens && 8 * lane < kDim) {
      const long long start = token * stride + row % kHeads * kDim;
      Row::template load<Input::kBytes>(words[i], source + start * Input::kBytes, lane);
    }
  }

  __shared__ Place places[kTokens];
  for (int i = threadIdx.x; i < kTokens; i += kThreads) {
    const int token = first_token + i;
    places[i] = token < tokens ? place_of(arguments, token) : Place{-1, -1};
  }
  __syncthreads();

#pragma unroll
  for (int i = 0; i < kRowsInFlight; ++i) {
    const int row = first_row + i * kRowsAtOnce;
    const int token = row / kHeads;
    const Place place = places[token - first_token];
    float values[8];
    Input::unpack(values, words[i]);
    if constexpr (kRotated) Rope::rotate(values, arguments.rope, place.position, lane);
    destination(values, place, token, row % kHeads, lane);
  }
}

template <int kHeads, int kLanes>
__device__ int blocks_of(int tokens) {
  constexpr int kRows = kThreads / kLanes * kRowsInFlight;
  return (tokens * kHeads + kRows - 1) / kRows;
}

extern "C" __global__ void __launch_bounds__(kThreads, kResidentBlocks)
    append(const __grid_constant__ AppendArguments arguments) {
  // Where the history is ready before this grid begins, decode may begin to read it beside it.
  if constexpr (kHistoryReady) Launch::let_next_begin();
  Launch::wait();
  Launch::let_next_begin();
  const KvCache& cache = arguments.cache;
  const int k_blocks = blocks_of<kKvHeads, kLanesQk>(arguments.batch.tokens);
  const int v_blocks = blocks_of<kKvHeads, kLanesV>(arguments.batch.tokens);
  const int block = blockIdx.x;
  if (block < k_blocks) {
    append_rows<Rope::Row, kKvHeads, kHeadDimQk, kLanesQk, true>(
        arguments, block, arguments.k, arguments.k_stride,
        ToCache<Rope::Row, kHeadDimQk, kLanesQk>{cache, cache.k, cache.k_scale});
  } else if (block < k_blocks + v_blocks) {
    append_rows<WholeRow, kKvHeads, kHeadDimV, kLanesV, false>(
        arguments, block - k_blocks, arguments.v, arguments.v_stride,
        ToCache<WholeRow, kHeadDimV, kLanesV>{cache, cache.v, cache.v_scale});
  } else if constexpr (Rope::kDims > 0) {
    append_rows<Rope::Row, kQueryHeads, kHeadDimQk, kLanesQk, true>(
        arguments, block - k_blocks - v_blocks, arguments.q, arguments.q_stride,
        ToQuery{arguments.q_rotated, arguments.q_stride});
  }
}

}  // namespace octavo
