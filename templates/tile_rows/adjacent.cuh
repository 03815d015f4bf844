#pragma once

#include "attention/tile.cuh"

namespace octavo {

// Where in the cache a tile's rows are: one after another, as no tile crosses a page. A layer's
// rows number fewer than 2^31.
struct TileRows {
  int first = 0;
  int count = 0;

  // Starts to find the tile at `token`, of which the rows before `end` are wanted. Each lane finds
  // one of the warp's tiles from this one on, `stride` tokens apart, so that only every 32nd call
  // reads memory. It does not wait for `end`: the page of a token that is not there is read, and
  // nothing else of it.
  __device__ void look_up(const KvCache& cache, const Rows& rows, int token, int stride, int end) {
    count = end - token;
    next_ = (next_ + 1) % 32;
    if (next_ > 0) return;
    const int of_lane = token + lane_id() * stride;
    found_ = -1;
    if (of_lane < KvLayout::capacity(cache)) {
      found_ = static_cast<int>(KvLayout::row(cache, rows.sequence, rows.kv_head, of_lane));
    }
  }

  // Waits for what look_up started.
  __device__ void wait() {
    first = __shfl_sync(0xffffffff, found_, next_);
    if (first < 0) first = count = 0;  // no such page
  }

 private:
  int found_ = -1;  // the first row of the lane's tile
  int next_ = 31;   // the lane whose tile is next
};

// A tile's rows of kUnits units each, counted through; the lane's are lane, lane + 32, ...
template <int kUnits, int kUnitBytes = 16>
class TileUnits {
 public:
  __device__ TileUnits(const TileRows& rows, DeviceAddress cache)
      : lane_(cache + (static_cast<long long>(rows.first) * kUnits + lane_id()) * kUnitBytes),
        wanted_(rows.count * kUnits - lane_id()) {}

  // Unit i + lane; where it is not wanted, nothing is to be read from its address.
  __device__ DeviceAddress address(int i) const { return lane_ + i * kUnitBytes; }
  __device__ bool exists(int i) const { return i < wanted_; }

 private:
  DeviceAddress lane_;
  int wanted_;
};

}  // namespace octavo
