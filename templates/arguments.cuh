// The arguments of every kernel, as the device reads them and as the host writes them: this file is
// compiled into both, so that the two can never disagree. All pointers are device addresses.
// Tensors start at multiples of 16 bytes, and strides are multiples of 8 elements, so that rows are
// read and written 16 bytes at a time.
#pragma once

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

}  // namespace octavo
