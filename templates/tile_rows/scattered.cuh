#pragma once

#include "attention/tile.cuh"

namespace octavo {

// Where in the cache a tile's rows are: anywhere, as pages are smaller than tiles or end inside
// them. Each lane knows the row of one token. A layer's rows number fewer than 2^31.
struct TileRows {
  int row = -1;  // negative: not wanted

  // Starts to find the tile at `token`, of which the rows before `end` are wanted.
  __device__ void look_up(const KvCache& cache, const Rows& rows, int token, int, int end) {
    static_assert(kTileTokens <= 32, "a lane for each token");
    row = -1;
    token += lane_id();
    if (lane_id() < kTileTokens && token < end) {
      row = static_cast<int>(KvLayout::row(cache, rows.sequence, rows.kv_head, token));
    }
  }

  // Waits for what look_up started: reading `row` does.
  __device__ void wait() {}
};

// A tile's rows of kUnits units each, counted through; the lane's are lane, lane + 32, ...
template <int kUnits, int kUnitBytes = 16>
class TileUnits {
 public:
  __device__ TileUnits(const TileRows& rows, DeviceAddress cache) : rows_(rows), cache_(cache) {}

  // Unit i + lane; where it is not wanted, nothing is to be read from its address. All lanes ask.
  __device__ DeviceAddress address(int i) const {
    const int index = i + lane_id();
    const long long unit = max(row(index), 0) * static_cast<long long>(kUnits) + index % kUnits;
    return cache_ + unit * kUnitBytes;
  }
  __device__ bool exists(int i) const { return row(i + lane_id()) >= 0; }

 private:
  __device__ int row(int index) const { return __shfl_sync(0xffffffff, rows_.row, index / kUnits); }

  const TileRows& rows_;
  DeviceAddress cache_;
};

}  // namespace octavo
