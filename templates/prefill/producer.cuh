#pragma once

#include "prefill/strips.cuh"
#include "ptx/cp_async.cuh"
#include "ptx/fence.cuh"
#include "ptx/mov.cuh"
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

// The lane's unit of 32 that follow each other in rows of kUnits, from unit `first` on, in two
// parts of which the lane does not decide the second.
template <int kUnits>
struct UnitOfLane {
  static constexpr bool kWholeRows = 32 % kUnits == 0;
  int row, unit, more_rows;

  __device__ UnitOfLane(int lane, int first) {
    const int index = lane + (kWholeRows ? 0 : first);
    row = index / kUnits, unit = index % kUnits;
    more_rows = kWholeRows ? first / kUnits : 0;
  }
};

// The warpgroup that brings tiles to shared memory.
class Producer {
 public:
  __device__ Producer(const KvCache& cache, const Tokens& tokens, const Memory& memory)
      : cache_(cache), tokens_(tokens), memory_(memory) {}

  __device__ void run() {
    strips_.look_up(cache_, tokens_.first, tokens_.end);
#pragma unroll 1
    for (int token = tokens_.first - kAhead * kTileTokens; token < tokens_.end;
         token += kTileTokens) {
      const Stage copied = stage_;
      stage_.advance();  // to that of the tile at `token`, which it shares with the one copied next
      const int copied_token = token + kAhead * kTileTokens;
      if (token >= tokens_.first) publish_keys(token == tokens_.first);
      if constexpr (kCopiesFirst) copy(copied_token, copied);
      if (token >= tokens_.first) publish_values();
      if constexpr (!kCopiesFirst) copy(copied_token, copied);
    }
  }

 private:
  static constexpr int kAhead = kStages - 1;  // tiles that are copied at a time
  // While a tile's V is transposed another one is on its way: one copied just before if there is no
  // earlier one. The fence after it may wait for what the thread has only just begun.
  static constexpr bool kCopiesFirst = Values::kTransposed && kAhead == 1;

  // Starts a tile's copies, one commit group; beyond the last tile the group is empty.
  __device__ void copy(int first_token, const Stage& to) {
    if (first_token < tokens_.end) {
      memory_.wait_empty(Barrier::keys_empty, to);
      if constexpr (!Values::kTransposed) memory_.wait_empty(Barrier::values_empty, to);
      const unsigned values =
          Values::kTransposed ? memory_.copied_values(to.index) : memory_.values(to.index);
#pragma unroll 1
      for (int i = 0; i < kWarpStrips; ++i) {
        const int strip = strip_of_warp(i);
        if (kStrips % 4 != 0 && strip >= kStrips) break;
        const StripRows rows = strips_.strip(i);
        copy_rows<KeyMatrix>(memory_.keys(to.index) + strip * KeyMatrix::kStripBytes, rows,
                             cache_.k);
        copy_rows<Values::Copied>(values + strip * Values::Copied::kStripBytes, rows, cache_.v);
        if constexpr (Scale::kPerToken) {
          copy_scales(memory_.key_scales(to) + 16 * strip, rows, cache_.k_scale);
          copy_scales(memory_.factors(to) + 16 * strip, rows, cache_.v_scale);
        }
      }
      strips_.look_up(cache_, first_token + kTileTokens, tokens_.end);
    }
    cp_async_commit_group();
  }

  // Tokens that are not there become zeros, so that nothing read from the tile is a NaN that no one
  // wrote.
  template <class To>
  static __device__ void copy_rows(unsigned to, const StripRows& rows, DeviceAddress from) {
    const StripUnits<To::kUnits> units(rows, from);
    constexpr int kAtOnce = UnitOfLane<To::kUnits>::kWholeRows ? 8 : 1;
    const int lane = mov_laneid();  // the places of a strip's units would take too many registers
#pragma unroll kAtOnce
    for (int i = 0; i < 16 * To::kUnits; i += 32) {
      const UnitOfLane<To::kUnits> of(lane, i);
      cp_async_16(to + To::unit(of.row, of.unit, of.more_rows), units.address(i), units.bytes(i));
    }
  }

  static __device__ void copy_scales(const float* to, const StripRows& rows, DeviceAddress from) {
    const StripUnits<1, 4> units(rows, from);
    const DeviceAddress scale = units.address(0);
    const int bytes = units.bytes(0);
    if (lane_id() >= 16) return;
    cp_async_4(static_cast<unsigned>(__cvta_generic_to_shared(to + lane_id())), scale, bytes);
  }

  __device__ void publish_keys(bool first) {
    cp_async_wait_group<kAhead - 1>();
    fence_proxy_async();
    if constexpr (Scale::kPerToken) {
      bar_sync<kConsumers + 1, kWarpgroupThreads>();  // all warps' scales are there
      Stage published = stage_;
      published.factors.advance();  // has a stage more
      const float before = first ? 0 : memory_.factors(stage_)[kTileTokens + 1];
      if (warp_id() % 4 == 0) relate_scales(memory_.factors(published), before);
    }
    memory_.arrive(Barrier::keys_full, stage_);
  }

  __device__ void publish_values() {
    const int stage = stage_.index;
    memory_.wait_full(Barrier::values_empty, stage_);  // whose parity is the one of the last round
    if constexpr (Values::kTransposed) {
#pragma unroll 1
      for (int i = 0; i < kWarpStrips; ++i) {
        const int strip = strip_of_warp(i);
        if (kStrips % 4 != 0 && strip >= kStrips) break;
        Values::place(memory_.values(stage), memory_.copied_values(stage), strip);
      }
      fence_proxy_async();
    }
    memory_.arrive(Barrier::values_full, stage_);
  }

  const KvCache& cache_;
  const Tokens& tokens_;
  const Memory& memory_;
  TileStrips strips_;  // of the tile that is copied next, in the cache
  Stage stage_;
};

}  // namespace octavo
