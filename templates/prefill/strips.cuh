#pragma once

#include "prefill/memory.cuh"
#include "ptx/mov.cuh"

namespace octavo {

// A warp of the producer has a quarter of a tile's tokens, in strips of 16. What a warp copied it
// also transposes, so that warps need not wait for each other for it.
constexpr int kStrips = kTileTokens / 16;
constexpr int kWarpStrips = (kStrips + 3) / 4;
constexpr int kWarpTokens = 16 * kWarpStrips;

// In the tile; beyond it where the warps before have all of them. Read anew each time, as the
// producer has no registers for all that is computed from it.
inline __device__ int first_strip_of_warp() { return mov_tid_x() / 32 % 4 * kWarpStrips; }

// The row of a token that is not there or not wanted: no box from there on has one that is.
constexpr int kNoRow = -kTileTokens;

// Where in the cache the warp's tokens of a tile are. A layer's rows number fewer than 2^31.
class TileRows {
 public:
  static constexpr int kLookUps = (kWarpTokens + 31) / 32;

  // Starts to find those of the tile at `first_token`, of which tokens before `end` are wanted.
  __device__ void look_up(const KvCache& cache, int first_token, int end) {
    first_token_ = first_token;
#pragma unroll
    for (int i = 0; i < kLookUps; ++i) {
      const int place = tile_place(i);
      page_[i] = -1;
      if (is_mine(i) && place < kTileTokens && first_token + place < end) {
        page_[i] = KvLayout::page(cache, sequence_of_block(), first_token + place);
      }
    }
  }

  // The warp's token 32 * i + lane: where in the tile it is, whether it is the warp's, and its row,
  // for which what look_up started is waited for.
  static __device__ int tile_place(int i) {
    return 16 * first_strip_of_warp() + 32 * i + mov_laneid();
  }
  static __device__ bool is_mine(int i) {
    return 32 * (i + 1) <= kWarpTokens || 32 * i + lane_id() < kWarpTokens;
  }
  __device__ int row(const KvCache& cache, int i) const {
    const int row = static_cast<int>(KvLayout::row_in(
        page_[i], cache, sequence_of_block(), kv_head_of_block(), first_token_ + tile_place(i)));
    return page_[i] < 0 ? kNoRow : row;
  }

  // The row of any of the warp's tokens, for which all lanes ask at once.
  __device__ int row_of(const KvCache& cache, int token) const {
    int row = this->row(cache, 0);
    for (int i = 1; i < kLookUps; ++i) {
      if (token / 32 == i) row = this->row(cache, i);
    }
    return __shfl_sync(0xffffffff, row, token % 32);
  }

 private:
  int first_token_;
  int page_[kLookUps];
};

}  // namespace octavo
