#pragma once

#include "prefill/strips.cuh"

namespace octavo {

// Where in the cache a strip's rows are: anywhere, as pages end inside strips. Each of 16 lanes
// knows one. A layer's rows number fewer than 2^31.
struct StripRows {
  int row = -1;        // negative: not wanted
  int first_lane = 0;  // that knows one of this strip
};

// Those of the warp's strips of a tile.
class TileStrips {
 public:
  // Starts to find those of the tile at `first_token`, of which tokens before `end` are wanted.
  __device__ void look_up(const KvCache& cache, int first_token, int end) {
#pragma unroll
    for (int i = 0; i < kLookUps; ++i) {
      const int strip = strip_of_warp(2 * i + lane_id() / 16);
      const int token = first_token + 16 * strip + lane_id() % 16;
      row_[i] = -1;
      if (strip < kStrips && token < end) {
        row_[i] =
            static_cast<int>(KvLayout::row(cache, sequence_of_block(), kv_head_of_block(), token));
      }
    }
  }

  // Waits for what look_up started: reading the rows does.
  __device__ StripRows strip(int i) const {
    int row = row_[0];
    for (int j = 1; j < kLookUps; ++j) {
      if (i / 2 == j) row = row_[j];
    }
    return {row, i % 2 * 16};
  }

 private:
  static constexpr int kLookUps = (kWarpStrips + 1) / 2;  // of two strips each

  int row_[kLookUps];
};

// A strip's rows of kUnits units each, counted through; the lane's are lane, lane + 32, ...
template <int kUnits, int kUnitBytes = 16>
class StripUnits {
 public:
  __device__ StripUnits(const StripRows& rows, DeviceAddress cache) : rows_(rows), cache_(cache) {}

  // Of unit i + lane: where it is, and how many of its bytes are wanted.
  __device__ DeviceAddress address(int i) const {
    return cache_ + (max(row(i), 0) * static_cast<long long>(kUnits) + (i + lane_id()) % kUnits) *
                        kUnitBytes;
  }
  __device__ int bytes(int i) const { return row(i) < 0 ? 0 : kUnitBytes; }

 private:
  __device__ int row(int i) const {
    return __shfl_sync(0xffffffff, rows_.row, rows_.first_lane + (i + lane_id()) / kUnits % 16);
  }

  StripRows rows_;
  DeviceAddress cache_;
};

}  // namespace octavo
