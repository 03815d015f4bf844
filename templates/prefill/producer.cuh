#pragma once

#include "prefill/ones.cuh"
#include "ptx/load_if.cuh"
#include "ptx/special.cuh"
#include "ptx/warpgroup.cuh"

namespace octavo {

// As an exponent, without its sign: nothing is left of a weight long before.
constexpr unsigned kSmallestFactor = 100;

// The scales of a tile's tokens, of which the warp's lanes have theirs. V's, powers of two, become
// the exponents of P's factors, relative to the largest scale so far, so that P stays within its
// format; O is in units of that largest scale.
class TokenScales {
 public:
  // Starts to read those of the warp's tokens: zeros of those that are not there.
  __device__ void load(const KvCache& cache, const TileRows& rows) {
#pragma unroll
    for (int i = 0; i < TileRows::kLookUps; ++i) {
      const int row = rows.row(cache, i);
      const long long offset = max(row, 0) * 4ll;
      ld_global_if(k_[i], cache.k_scale + offset, row >= 0);
      ld_global_if(v_[i], cache.v_scale + offset, row >= 0);
    }
  }

  // They go to the stage's places, once all warps have theirs.
  __device__ void store(const Memory& memory, const Stage& stage) {
    unsigned largest = 0;
    for (const unsigned(&v)[1] : v_) largest = max(largest, v[0] >> 23);
    largest = __reduce_max_sync(0xffffffff, largest);
    unsigned* const of_warps = memory.largest(tile_++);
    if (mov_laneid() == 0) of_warps[mov_tid_x() / 32 % 4] = largest;  // no register all the while
    bar_sync<kConsumers + 1, kWarpgroupThreads>();
    const unsigned before = largest_;
    for (int warp = 0; warp < 4; ++warp) largest_ = max(largest_, of_warps[warp]);
    float* const factors = memory.factors(stage);
#pragma unroll
    for (int i = 0; i < TileRows::kLookUps; ++i) {
      const int place = TileRows::tile_place(i);
      if (!TileRows::is_mine(i) || place >= kTileTokens) break;
      memory.key_scales(stage)[place] = __uint_as_float(k_[i][0]);
      factors[place] = -static_cast<float>(min(largest_ - (v_[i][0] >> 23), kSmallestFactor));
    }
    if (threadIdx.x == 0) {
      factors[kTileTokens] = ex2_approx_ftz(-static_cast<float>(largest_ - before));
      factors[kTileTokens + 1] = __uint_as_float(largest_ << 23);
    }
  }

 private:
  unsigned k_[TileRows::kLookUps][1];
  unsigned v_[TileRows::kLookUps][1];
  unsigned largest_ = 0;  // exponent, biased
  int tile_ = 0;
};

// The warpgroup that brings tiles to shared memory.
class Producer {
 public:
  __device__ Producer(const PrefillKernelArguments& arguments, const Memory& memory)
      : arguments_(arguments), memory_(memory) {}

  // A tile's copies are started when what was copied before is in its place, and come while the
  // consumers are tiles behind.
  __device__ void run(const Tokens& tokens) {
    TileRows rows;
    rows.look_up(arguments_.cache, tokens.first, tokens.end);
    Stage stage;
    unsigned parity = 0;  // of V's copies
#pragma unroll 1
    for (int token = tokens.first; token < tokens.end; token += kTileTokens) {
      memory_.wait_empty(stage);
      start(rows, stage.index);
      rows.look_up(arguments_.cache, token + kTileTokens, tokens.end);
      if constexpr (Scale::kPerToken) scales_.store(memory_, stage);
      memory_.arrive(Barrier::keys_full, stage.index);
      mbarrier_wait(memory_.barrier(Barrier::values_copied, 0), parity);
      finish_values(stage, tokens.end - token);
      memory_.arrive(Barrier::values_full, stage.index);
      stage.advance();
      parity ^= 1;
    }
  }

 private:
  __device__ void start(const TileRows& rows, int stage) {
    if constexpr (Scale::kPerToken) scales_.load(arguments_.cache, rows);
    TileCopy::start(arguments_, rows, memory_, memory_.keys(stage),
                    memory_.barrier(Barrier::keys_full, stage), memory_.copied_values(stage),
                    memory_.barrier(Barrier::values_copied, 0));
    memory_.arrive(Barrier::values_copied, 0);
  }

  // V goes to its place, and `wanted` of the tile's tokens are.
  __device__ void finish_values(const Stage& stage, int wanted) {
    const unsigned copied = memory_.copied_values(stage.index);
    TileCopy::finish(memory_.at(copied), wanted);
    const int first = first_strip_of_warp();
    Values::place<kWarpStrips>(memory_.values(stage.index), copied, first,
                               kStrips % 4 == 0 ? first + kWarpStrips : kStrips);
    if constexpr (Values::kOnes > 0 && Scale::kPerToken) store_ones(memory_, stage);
    fence_proxy_async();
  }

  const PrefillKernelArguments& arguments_;
  const Memory& memory_;
  TokenScales scales_;
};

}  // namespace octavo
