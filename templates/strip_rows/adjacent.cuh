#pragma once

#include "prefill/strips.cuh"

namespace octavo {

// Where in the cache a strip's rows are: one after another, as no strip crosses a page. A layer's
// rows number fewer than 2^31.
struct StripRows {
  int first = 0;
  int count = 0;  // wanted ones, from the first on; may be more than a strip has
};

// Those of the warp's strips of a tile.
class TileStrips {
 public:
  // Starts to find those of the tile at `first_token`, of which tokens before `end` are wanted.
  __device__ void look_up(const KvCache& cache, int first_token, int end) {
    const int token = first_token + 16 * strip_of_warp(lane_id());
    wanted_ = end - first_token;
    found_ = -1;
    if (lane_id() < kWarpStrips && token < end) {
      found_ =
          static_cast<int>(KvLayout::row(cache, sequence_of_block(), kv_head_of_block(), token));
    }
  }

  // Waits for what look_up started. Nothing is wanted of a page that is not there.
  __device__ StripRows strip(int i) const {
    const int first = __shfl_sync(0xffffffff, found_, i);
    return {max(first, 0), first < 0 ? 0 : wanted_ - 16 * strip_of_warp(i)};
  }

 private:
  int found_ = -1;  // the first row of the lane's strip
  int wanted_ = 0;  // tokens of the tile
};

// A strip's rows of kUnits units each, counted through; the lane's are lane, lane + 32, ...
template <int kUnits, int kUnitBytes = 16>
class StripUnits {
 public:
  __device__ StripUnits(const StripRows& rows, DeviceAddress cache)
      : lane_(cache + (static_cast<long long>(rows.first) * kUnits + lane_id()) * kUnitBytes),
        wanted_(rows.count * kUnits - lane_id()) {}

  // Of unit i + lane: where it is, and how many of its bytes are wanted.
  __device__ DeviceAddress address(int i) const { return lane_ + i * kUnitBytes; }
  __device__ int bytes(int i) const { return i < wanted_ ? kUnitBytes : 0; }

 private:
  DeviceAddress lane_;
  int wanted_;
};

}  // namespace octavo
