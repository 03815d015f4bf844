#pragma once

#include "arguments.cuh"

namespace octavo {

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

}  // namespace octavo
