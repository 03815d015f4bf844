#pragma once

#include "prefill/strips.cuh"
#include "ptx/cp_async.cuh"
#include "ptx/fence.cuh"
#include "ptx/special.cuh"
#include "ptx/warpgroup.cuh"

namespace octavo {

// V's scales of a tile become factors of P, relative to the largest scale so far, so that P stays
// within its format; O is in units of that largest scale. A warp does it.
inline __device__ void relate_scales(float* factors, float largest_before) {
  float largest = largest_before;
#pragma unroll
  for (int i = lane_id(); i < kTileTokens; i += 32) largest = fmaxf(largest, factors[i]);
  // Numbers that are not negative compare as their bits do.
  largest = __uint_as_float(__reduce_max_sync(0xffffffff, __float_as_uint(largest)));
  const float inverse = rcp_approx_ftz(fmaxf(largest, 0x1p-126f));
#pragma unroll
  for (int i = lane_id(); i < kTileTokens; i += 32) factors[i] *= inverse;
  if (lane_id() == 0) {
    factors[kTileTokens] = largest_before * inverse;
    factors[kTileTokens + 1] = largest;
  }
}

// The warpgroup that brings tiles to shared memory.
class Producer {
 public:
  __device__ Producer(const PrefillKernelArguments& arguments, const Tokens& tokens,
                      const Memory& memory)
      : arguments_(arguments), tokens_(tokens), memory_(memory) {}

  __device__ void run() {
    rows_.look_up(arguments_.cache, tokens_.first, tokens_.end);
#pragma unroll 1
    for (int token = tokens_.first - kAhead * kTileTokens; token < tokens_.end;
         token += kTileTokens) {
      stage_.advance();  // to that of the tile at `token`, which it shares with the one copied next
      const int copied_token = token + kAhead * kTileTokens;
      if (token >= tokens_.first) publish_keys(token == tokens_.first);
      if (token >= tokens_.first) publish_values(tokens_.end - token);
      copy(copied_token, stage_.before());
      if constexpr (Values::kTransposed) buffer_.advance();
    }
  }

 private:
  static constexpr int kAhead = kStages - 1;  // tiles that are copied at a time
  static constexpr bool kInGroups = TileCopy::kInGroups || Scale::kPerToken;

  // Starts a tile's copies, one commit group; beyond the last tile the group is empty.
  __device__ void copy(int first_token, const Stage& to) {
    if (first_token < tokens_.end) {
      memory_.wait_empty(Barrier::keys_empty, to);
      if constexpr (!Values::kTransposed) memory_.wait_empty(Barrier::values_empty, to);
      TileCopy::start(arguments_, rows_, first_token, memory_, to, copied(to).index);
      if constexpr (Scale::kPerToken) copy_scales(first_token, to);
      rows_.look_up(arguments_.cache, first_token + kTileTokens, tokens_.end);
    }
    if constexpr (kInGroups) cp_async_commit_group();
  }

  // Of tokens that are not there or not wanted they become zeros, which count for nothing.
  __device__ void copy_scales(int first_token, const Stage& to) const {
    __syncwarp();
    const unsigned keys = static_cast<unsigned>(__cvta_generic_to_shared(memory_.key_scales(to)));
    const unsigned values = static_cast<unsigned>(__cvta_generic_to_shared(memory_.factors(to)));
#pragma unroll
    for (int i = 0; i < WarpRows::kLookUps; ++i) {
      const int place = WarpRows::tile_place(i);
      if (!WarpRows::is_mine(i) || place >= kTileTokens) break;
      const int row = rows_.row(arguments_.cache, first_token, i);
      const int bytes = row < 0 ? 0 : 4;
      const long long offset = max(row, 0) * 4ll;
      cp_async_4(keys + 4 * place, arguments_.cache.k_scale + offset, bytes);
      cp_async_4(values + 4 * place, arguments_.cache.v_scale + offset, bytes);
    }
  }

  __device__ void publish_keys(bool first) {
    if constexpr (kInGroups) cp_async_wait_group<kAhead - 1>();
    if constexpr (TileCopy::kInGroups) fence_proxy_async();
    if constexpr (Scale::kPerToken) {
      bar_sync<kConsumers + 1, kWarpgroupThreads>();  // all warps' scales are there
      // The compiler sees that it is the same on all lanes, and needs fewer registers for it.
      if (__shfl_sync(0xffffffff, warp_id() % 4, 0) == 0) {
        Stage published = stage_;
        published.factors.advance();  // has a stage more
        relate_scales(memory_.factors(published),
                      first ? 0 : memory_.factors(stage_)[kTileTokens + 1]);
      }
    }
    if constexpr (!TileCopy::kArrives) memory_.arrive(Barrier::keys_full, stage_);
  }

  // `wanted` of the tile's tokens are.
  __device__ void publish_values(int wanted) {
    const int stage = stage_.index;
    memory_.wait_full(Barrier::values_empty, stage_);  // whose parity is the one of the last round
    TileCopy::finish_values(memory_, copied(stage_), wanted);
    const int first = first_strip_of_warp();
    Values::place<kWarpStrips>(memory_.values(stage), memory_.copied_values(copied(stage_).index),
                               first, kStrips % 4 == 0 ? first + kWarpStrips : kStrips);
    fence_proxy_async();
    memory_.arrive(Barrier::values_full, stage_);
  }

  // Where V of a tile of this stage is as it was copied.
  __device__ const Turn& copied(const Stage& stage) const {
    if constexpr (Values::kTransposed) return buffer_;
    return stage;
  }

  const PrefillKernelArguments& arguments_;
  const Tokens& tokens_;
  const Memory& memory_;
  WarpRows rows_;  // of the tile that is copied next, in the cache
  Stage stage_;
  Ring<kAhead> buffer_;  // of V of the published tile and then of the one copied next
};

}  // namespace octavo
