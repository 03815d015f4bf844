#pragma once

#include "arguments.cuh"

namespace octavo {

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

}  // namespace octavo
