#pragma once

#include "attention/tile.cuh"

namespace octavo {

// Where in the cache a tile's rows are: anywhere, as pages are smaller than tiles or end inside them.
// Each lane finds the row of one token. A layer's rows number fewer than 2^31.
class TileRows {
 public:
  // Finds the tile at `token`, of which those before `end` are wanted.
  __device__ void look_up(const KvCache& cache, const Rows& rows, int token, int end) {
    static_assert(kTileTokens <= 32, "a lane for each token");
    row_ = -1;
    token += lane_id();
    if (lane_id() < kTileTokens && token < end) {
      row_ = static_cast<int>(KvLayout::row(cache, rows.sequence, rows.kv_head, token));
    }
  }

  // Of row index / kUnits, unit index % kUnits: whether it is wanted, and where it is. All lanes ask.
  template <int kUnits>
  __device__ bool exists(int index) const {
    return __shfl_sync(0xffffffff, row_, index / kUnits) >= 0;
  }
  template <int kUnits>
  __device__ long long unit(int index) const {
    return __shfl_sync(0xffffffff, row_, index / kUnits) * static_cast<long long>(kUnits) +
           index % kUnits;
  }

 private:
  int row_ = -1;  // of this lane's token; negative: not wanted
};

}  // namespace octavo
