#pragma once

#include "attention/tile.cuh"

namespace octavo {

// Where in the cache a tile's rows are: one after another, as no tile crosses a page.
struct TileRows {
  long long first = 0;
  int count = 0;

  // Finds the tile at `token`, of which the rows before `end` are wanted.
  __device__ void look_up(const KvCache& cache, const Rows& rows, int token, int end) {
    count = end - token;
    if (count > 0) first = KvLayout::row(cache, rows.sequence, rows.kv_head, token);
    if (first < 0) first = count = 0;  // no such page
  }
};

// A tile's rows of kUnits units each, counted through; the lane's are lane, lane + 32, ...
template <int kUnits, int kUnitBytes = 16>
class TileUnits {
 public:
  __device__ TileUnits(const TileRows& rows, DeviceAddress cache)
      : lane_(cache + (rows.first * kUnits + lane_id()) * kUnitBytes),
        wanted_(rows.count * kUnits - lane_id()) {}

  // Unit i + lane; where it is not wanted, nothing is to be read from its address.
  __device__ DeviceAddress address(int i) const { return lane_ + i * kUnitBytes; }
  __device__ bool exists(int i) const { return i < wanted_; }

 private:
  DeviceAddress lane_;
  int wanted_;
};

}  // namespace octavo
