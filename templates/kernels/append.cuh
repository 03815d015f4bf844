// append: K and V of new tokens into the cache, in its format, with their scales. With RoPE, K is
// rotated on its way and Q from q to q_rotated. A row is one head of one token; neighbouring lanes
// hold it, eight values each.
#pragma once

#include "arguments.cuh"
#include "row/whole.cuh"

namespace octavo {

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
