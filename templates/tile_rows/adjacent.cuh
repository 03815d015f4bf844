#pragma once

#include "attention/tile.cuh"

namespace octavo {

// Where in the cache a tile's rows are: one after another, as no tile crosses a page.
class TileRows {
 public:
  // Finds the tile at `token`, of which those before `end` are wanted.
  __device__ void look_up(const KvCache& cache, const Rows& rows, int token, int end) {
    tokens_ = end - token;
    if (tokens_ > 0) first_ = KvLayout::row(cache, rows.sequence, rows.kv_head, token);
    if (first_ < 0) tokens_ = 0;
  }

  // Of row index / kUnits, unit index % kUnits: whether it is wanted, and where it is.
  template <int kUnits>
  __device__ bool exists(int index) const {
    return index / kUnits < tokens_;
  }
  template <int kUnits>
  __device__ long long unit(int index) const {
    return first_ * kUnits + index;
  }

 private:
  long long first_ = 0;
  int tokens_ = 0;
};

}  // namespace octavo
