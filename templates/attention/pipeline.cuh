#pragma once

#include "attention/tile.cuh"
#include "ptx/cp_async.cuh"

namespace octavo {

// The tokens of which a block takes the tiles, its warps in turn.
struct Share {
  int first;  // a multiple of kTileTokens
  int end;
};

// The block's part of the tokens that its rows see.
inline __device__ Share share_of_block(const Rows& rows, int splits) {
  const int first = Mask::first(rows.position(0)) / kTileTokens;
  const int end = Mask::end(rows.position(rows.count - 1), rows.kv_length);
  const int tiles = (end + kTileTokens - 1) / kTileTokens - first;
  const int share = (tiles + splits - 1) / splits;
  const int begin = first + static_cast<int>(blockIdx.x) * share;
  return {begin * kTileTokens, min(end, (begin + share) * kTileTokens)};
}

// A warp's tiles on their way to shared memory: kStages of them, one commit group each. Only this
// warp reads what it copies, so that no block-wide barrier is needed.
class Pipeline {
 public:
  __device__ Pipeline(const KvCache& cache, const Rows& rows, const Share& share, unsigned stages)
      : cache_(cache), rows_(rows), end_(share.end), stages_(stages) {
    next_ = share.first + warp_id() * kTileTokens;
    look_up();
    for (int i = 0; i < kStages - 1; ++i) copy(i);
    write_ = kStages - 1;
  }

  // Waits for the next tile and returns where in shared memory it is, as an offset from the stages;
  // the tile before it makes room for a new one.
  __device__ int advance() {
    cp_async_wait_group<kStages - 2>();
    __syncwarp();
    copy(write_);
    write_ = write_ + 1 < kStages ? write_ + 1 : 0;
    const int offset = read_ * kStageBytes;
    read_ = read_ + 1 < kStages ? read_ + 1 : 0;
    return offset;
  }

 private:
  // Each lane finds the row of one token of the tile that is copied next; the latency passes while
  // the warp works on another tile. A layer's rows number fewer than 2^31.
  __device__ void look_up() {
    static_assert(kTileTokens <= 32, "a lane for each token");
    const int token = next_ + lane_id();
    row_ = -1;
    if (lane_id() < kTileTokens && token < end_) {
      row_ = static_cast<int>(KvLayout::row(cache_, rows_.sequence, rows_.kv_head, token));
    }
  }

  // Starts the next tile's copies. Tokens that are not there become zeros, their scales too, so that
  // nothing read from the tile is a NaN that no one wrote.
  __device__ void copy(int stage) {
    if (next_ < end_) {
      const unsigned tile = stages_ + stage * kStageBytes;
      copy_rows<kKeyUnits>(tile, cache_.k);
      copy_rows<kValueUnits>(tile + kValuesOffset, cache_.v);
      if constexpr (Scale::kPerToken) {
        if (lane_id() < kTileTokens) {
          copy_scale(tile + kKeyScalesOffset, cache_.k_scale);
          copy_scale(tile + kValueScalesOffset, cache_.v_scale);
        }
      }
      next_ += kWarps * kTileTokens;
      look_up();
    }
    cp_async_commit_group();
  }

  template <int kUnits>
  __device__ void copy_rows(unsigned tile, DeviceAddress rows) {
    constexpr int kCopies = kTileTokens * kUnits;
#pragma unroll
    for (int i = 0; i < kCopies; i += 32) {
      const int token = (i + lane_id()) / kUnits;
      const int unit = (i + lane_id()) % kUnits;
      const int row = __shfl_sync(0xffffffff, row_, token);
      if (kCopies % 32 == 0 || i + lane_id() < kCopies) {
        const long long offset = row < 0 ? 0 : row * (kUnits * 16ll) + unit * 16;
        cp_async_16(tile + unit_index<kUnits>(token, unit) * 16, rows + offset, row < 0 ? 0 : 16);
      }
    }
  }

  __device__ void copy_scale(unsigned scales, DeviceAddress all) {
    cp_async_4(scales + lane_id() * 4, all + (row_ < 0 ? 0 : row_ * 4ll), row_ < 0 ? 0 : 4);
  }

  const KvCache& cache_;
  const Rows& rows_;
  int end_;          // of the share
  unsigned stages_;  // the warp's, in shared memory
  int next_;         // first token of the tile that is copied next
  int row_;          // of this lane's token in it; -1: no such token
  int read_ = 0;
  int write_ = 0;
};

}  // namespace octavo
