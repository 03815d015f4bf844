#pragma once

#include "prefill/memory.cuh"
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

// The lane's unit of 32 that follow each other in rows of kUnits, from unit `first` on, in two
// parts of which the lane does not decide the second.
template <int kUnits>
struct UnitOfLane {
  static constexpr bool kWholeRows = 32 % kUnits == 0;
  static constexpr int kAtOnce = !kWholeRows ? 1 : kUnits > 8 ? 2 : 4;  // as registers allow
  int row, unit, more_rows;

  explicit __device__ UnitOfLane(int first) {
    const int index = lane_id() + (kWholeRows ? 0 : first);
    row = index / kUnits, unit = index % kUnits;
    more_rows = kWholeRows ? first / kUnits : 0;
  }
};

// The warpgroup that brings tiles to shared memory. A warp takes strips of 16 tokens in turn, and
// what it copies it also transposes, so that the warps need not wait for each other for it.
class Producer {
 public:
  __device__ Producer(const KvCache& cache, const Tokens& tokens, const Memory& memory)
      : cache_(cache), tokens_(tokens), memory_(memory) {}

  __device__ void run() {
    look_up(tokens_.first);
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
  static constexpr int kStrips = kTileTokens / 16;
  static constexpr int kWarpStrips = (kStrips + 3) / 4;
  static constexpr int kLookUps = (kWarpStrips + 1) / 2;

  static __device__ int strip(int i) { return warp_id() % 4 + 4 * i; }

  // Starts a tile's copies, one commit group; beyond the last tile the group is empty.
  __device__ void copy(int first_token, const Stage& to) {
    if (first_token < tokens_.end) {
      memory_.wait_empty(Barrier::keys_empty, to);
      const int stage = to.index;
      copy_rows<KeyMatrix>(memory_.keys(stage), cache_.k);
      if constexpr (Values::kTransposed) {
        copy_rows<Values::Copied>(memory_.copied_values(stage), cache_.v);
      } else {
        memory_.wait_empty(Barrier::values_empty, to);
        copy_rows<Values::Copied>(memory_.values(stage), cache_.v);
      }
      if constexpr (Scale::kPerToken) {
        copy_scales(memory_.key_scales(to), cache_.k_scale);
        copy_scales(memory_.factors(to), cache_.v_scale);
      }
      look_up(first_token + kTileTokens);
    }
    cp_async_commit_group();
  }

  // Finds the rows of a tile before it is copied: half a warp has 16 tokens' each.
  __device__ void look_up(int first_token) {
#pragma unroll
    for (int i = 0; i < kLookUps; ++i) {
      const int of = strip(2 * i + lane_id() / 16);
      const int token = first_token + 16 * of + lane_id() % 16;
      row_[i] = -1;  // not there
      if (of < kStrips && token < tokens_.end) {
        row_[i] =
            static_cast<int>(KvLayout::row(cache_, sequence_of_block(), kv_head_of_block(), token));
      }
    }
  }

  // Tokens that are not there become zeros, so that nothing read from the tile is a NaN that no one
  // wrote.
  template <class To>
  __device__ void copy_rows(unsigned to, DeviceAddress from) {
#pragma unroll
    for (int i = 0; i < kWarpStrips; ++i) {
      if (kStrips % 4 != 0 && strip(i) >= kStrips) break;
      const unsigned strip_to = to + strip(i) * To::kStripBytes;
#pragma unroll UnitOfLane < To::kUnits> ::kAtOnce
      for (int first = 0; first < 16 * To::kUnits; first += 32) {
        const UnitOfLane<To::kUnits> of(first);
        const int row = __shfl_sync(0xffffffff, row_[i / 2], of.row + of.more_rows + i % 2 * 16);
        const DeviceAddress address =
            from + of.unit * 16 + max(row, 0) * static_cast<long long>(To::kUnits * 16);
        cp_async_16(strip_to + To::unit(of.row, of.unit, of.more_rows), address, row < 0 ? 0 : 16);
      }
    }
  }

  __device__ void copy_scales(const float* to, DeviceAddress from) {
    const unsigned scales = static_cast<unsigned>(__cvta_generic_to_shared(to));
#pragma unroll
    for (int i = 0; i < kLookUps; ++i) {
      const int of = strip(2 * i + lane_id() / 16);
      const DeviceAddress address = from + max(row_[i], 0) * 4ll;
      if (of < kStrips) {
        cp_async_4(scales + (16 * of + lane_id() % 16) * 4, address, row_[i] < 0 ? 0 : 4);
      }
    }
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
        if (kStrips % 4 != 0 && strip(i) >= kStrips) break;
        Values::place(memory_.values(stage), memory_.copied_values(stage), strip(i));
      }
      fence_proxy_async();
    }
    memory_.arrive(Barrier::values_full, stage_);
  }

  const KvCache& cache_;
  const Tokens& tokens_;
  const Memory& memory_;
  int row_[kLookUps];  // in the cache, of the lane's tokens of the tile that is copied next
  Stage stage_;
};

}  // namespace octavo
