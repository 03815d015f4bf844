#pragma once

#include "arguments.cuh"

namespace octavo {

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

}  // namespace octavo
