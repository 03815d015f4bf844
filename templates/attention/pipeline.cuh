#pragma once

#include "attention/tile.cuh"
#include "ptx/cp_async.cuh"
#include "ptx/prefetch.cuh"

namespace octavo {

// The tiles that a block takes of those that its rows see, one every `step` tokens, its warps in
// turn. But for a window's, where the first ones are does not depend on the sequence's length:
// their pages are looked up while that is read.
struct Share {
  int first;  // a multiple of kTileTokens
  int step;
  int end;
};

// Splits take tiles in turn, too.
inline __device__ Share share_of_block(const Rows& rows, int splits) {
  const int first = Mask::first(rows.position(0)) / kTileTokens + static_cast<int>(blockIdx.x);
  const int end = Mask::end(rows.position(rows.count - 1), rows.kv_length);
  return {first * kTileTokens, splits * kTileTokens, end};
}

// A warp's tiles on their way to shared memory: kStages of them, one commit group each. Only this
// warp reads what it copies, so that no block-wide barrier is needed. kTilesAhead are on their way
// while the warp waits for one: all, or one less, whose place is that of the tile before.
class Pipeline {
 public:
  __device__ Pipeline(const KvCache& cache, const Rows& rows, const Share& share, unsigned stages)
      : cache_(cache),
        rows_(rows),
        end_(share.end),
        stride_(kWarps * share.step),
        stages_(stages),
        copied_(share.first + warp_id() * share.step) {
    look_up();
  }

  // Starts the first tiles' copies.
  __device__ void fill() {
#pragma unroll 1
    for (int stage = 0; stage < kTilesAhead; ++stage) copy(stage, [] {});
  }

  // The same while the grid before still runs; tiles with tokens from `ready` on wait for its end.
  // Each piece waits for the one before it: memory has enough to do then, and what that grid still
  // reads and writes, such as its splits' parts, does not have to queue behind all that this one's
  // blocks have room for. A warp's only tile comes at once.
  __device__ void fill_beside(int ready) {
    const bool at_once = copied_ + stride_ >= end_ || begins_last();
    const auto pace = [&] {
      if (at_once) return;
      cp_async_commit_group();
      cp_async_wait_group<kPiecesAhead - 1>();
    };
#pragma unroll 1
    for (int stage = 0; stage < kTilesAhead; ++stage) {
      if (min(copied_ + kTileTokens, end_) > ready) Launch::wait();
      if (stage > 0) pace();
      copy(stage, pace);
    }
  }

  // Brings the keys, or all, of the tile that is copied next to the L2 cache.
  __device__ void prefetch_keys() {
    if (copied_ >= end_) return;
    tile_rows_.wait();
    prefetch_rows<kKeyUnits * 16>(cache_.k);
    if constexpr (Scale::kPerToken) prefetch_rows<4>(cache_.k_scale);
  }
  __device__ void prefetch() {
    if (copied_ >= end_) return;
    prefetch_keys();
    prefetch_rows<kValueUnits * 16>(cache_.v);
    if constexpr (Scale::kPerToken) prefetch_rows<4>(cache_.v_scale);
  }

  // Waits for the warp's next tile. False where there is none.
  __device__ bool advance() {
    if (copied_ - kTilesAhead * stride_ >= end_) return false;
    cp_async_wait_group<kTilesAhead - 1>();
    __syncwarp();
    if constexpr (kTilesAhead < kStages) refill();
    return true;
  }

  // The warp is done with the tile.
  __device__ void release() {
    if constexpr (kTilesAhead == kStages) {
      __syncwarp();
      refill();
    }
  }

  // Whether the warp has started to copy all of its tiles.
  __device__ bool all_copied() const { return copied_ >= end_; }

  // The tile's first token, and where it is in shared memory, as an offset from the stages.
  __device__ int token() const { return copied_ - kStages * stride_; }
  __device__ int offset() const { return stage_ * kStageBytes; }

 private:
  // Pieces, K or V of a tile, that a warp has on their way beside the grid before: 4 KiB, which of
  // eight warps are what keeps memory busy.
  static constexpr int kPieceBytes = kTileTokens * kKeyUnits * 16;
  static constexpr int kPiecesAhead = kPieceBytes < 4096 ? 4096 / kPieceBytes : 1;

  // Whether the block is one of the last to begin: where a multiprocessor holds one at a time, in
  // the places of the grid before's merges. There is little left then to be beside of.
  static __device__ bool begins_last() {
    const bool last_group = blockIdx.y + 1 == gridDim.y && blockIdx.z + 1 == gridDim.z;
    return kResidentBlocks == 1 && last_group && 2 * blockIdx.x >= gridDim.x;
  }

  // A new tile's copies take the place of the last one that the warp worked on. With a warp's last
  // tile on its way the next grid may begin, whose copies would take bandwidth from it before.
  __device__ void refill() {
    copy(stage_, [] {});
    stage_ = stage_ + 1 < kStages ? stage_ + 1 : 0;
    if (all_copied()) Launch::let_next_begin();
  }

  // Starts the next tile's copies, of K, and after `between` of V. Tokens that are not there become
  // zeros, their scales too, so that nothing read from the tile is a NaN that no one wrote.
  template <class Between>
  __device__ void copy(int stage, const Between& between) {
    if (copied_ < end_) {
      tile_rows_.wait();
      const unsigned tile = stages_ + stage * kStageBytes;
      copy_rows<kKeyUnits>(tile, cache_.k);
      between();
      copy_rows<kValueUnits>(tile + kValuesOffset, cache_.v);
      if constexpr (Scale::kPerToken) {
        copy_scales(tile + kKeyScalesOffset, cache_.k_scale);
        copy_scales(tile + kValueScalesOffset, cache_.v_scale);
      }
    }
    copied_ += stride_;
    look_up();
    cp_async_commit_group();
  }

  // Lane l gets units l, l + 32, l + 64, ... of the tile's rows, counted from the first row on:
  // `each` is given 0, 32, 64, ..., the unit's address and whether it is to be read.
  template <int kUnits, int kUnitBytes, class Each>
  __device__ void for_units(DeviceAddress rows, const Each& each) {
    constexpr int kCount = kTileTokens * kUnits;
    const TileUnits<kUnits, kUnitBytes> units(tile_rows_, rows);
#pragma unroll 8
    for (int i = 0; i < kCount; i += 32) {
      const DeviceAddress unit = units.address(i);
      const bool exists = units.exists(i);
      if (kCount % 32 == 0 || i + lane_id() < kCount) each(i, unit, exists);
    }
  }

  template <int kUnits>
  __device__ void copy_rows(unsigned tile, DeviceAddress rows) {
    for_units<kUnits, 16>(rows, [&](int i, DeviceAddress unit, bool exists) {
      cp_async_16(copied_unit<kUnits>(tile, i), unit, exists ? 16 : 0);
    });
  }

  __device__ void copy_scales(unsigned tile, DeviceAddress scales) {
    for_units<1, 4>(scales, [&](int, DeviceAddress scale, bool exists) {
      cp_async_4(tile + lane_id() * 4, scale, exists ? 4 : 0);
    });
  }

  template <int kRowBytes>
  __device__ void prefetch_rows(DeviceAddress rows) {
    constexpr int kLineBytes = kRowBytes % 128 == 0 ? 128 : kRowBytes & -kRowBytes;
    for_units<kRowBytes / kLineBytes, kLineBytes>(rows, [](int, DeviceAddress line, bool exists) {
      if (exists) prefetch_l2(line);
    });
  }

  // Where the lane's unit i + lane goes. Where 32 units are whole rows, the row's swizzle is that
  // of the lane's part of it and that of the constant i, so that little is left to compute.
  template <int kUnits>
  static __device__ unsigned copied_unit(unsigned tile, int i) {
    if constexpr (32 % kUnits == 0) {
      const int lane = lane_id() ^ row_swizzle<kUnits>(lane_id() / kUnits);
      return tile + (lane ^ row_swizzle<kUnits>(i / kUnits)) * 16 + i * 16;
    }
    const int index = i + lane_id();
    return tile + (index ^ row_swizzle<kUnits>(index / kUnits)) * 16;
  }

  // The rows of the tile that is copied next are looked up while the warp works on another one.
  __device__ void look_up() { tile_rows_.look_up(cache_, rows_, copied_, stride_, end_); }

  const KvCache& cache_;
  const Rows& rows_;
  int end_;                            // of the share
  int stride_;                         // from the warp's tile to its next
  unsigned stages_;                    // the warp's, in shared memory
  int copied_;                         // first token of the tile that is copied next
  int stage_ = kTilesAhead % kStages;  // of the tile that the warp works on
  TileRows tile_rows_;                 // of the tile that is copied next, in the cache
};

}  // namespace octavo
