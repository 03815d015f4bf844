#pragma once

#include "prefill/softmax.cuh"
#include "ptx/fence.cuh"
#include "ptx/memory.cuh"
#include "ptx/warpgroup.cuh"

namespace octavo {

// A lane's two rows: of its warp's 16, g and g + 8.
struct LaneRows {
  int row[2];  // in the block

  explicit __device__ LaneRows(int consumer) {
    for (int half = 0; half < 2; ++half) {
      row[half] = consumer * kConsumerRows + warp_id() % 4 * 16 + lane_id() / 4 + 8 * half;
    }
  }
};

// Queries of the lane's rows, a quarter of each row's values, eight at a time, go to shared memory
// as an operand. Rows beyond the block's repeat its last one; no one looks at what becomes of them.
inline __device__ void store_queries(float (&scale)[2], const PrefillArguments& arguments,
                                     const Rows& rows, const LaneRows& lane, char* queries) {
  constexpr int kEights = kHeadDimQk / 32;
  const int t = lane_id() % 4;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = min(lane.row[half], rows.count - 1);
    const long long element =
        rows.token(row) * arguments.q_stride + rows.head(row) * static_cast<long long>(kHeadDimQk);
    float values[kEights][8];
    float largest = 0;
#pragma unroll
    for (int i = 0; i < kEights; ++i) {
      unsigned words[2 * Input::kBytes];
      ld_global(words, arguments.q + (element + (t + 4 * i) * 8) * Input::kBytes);
      Input::unpack(values[i], words);
      for (float value : values[i]) largest = fmaxf(largest, fabsf(value));
    }
    scale[half] = 1;
    if constexpr (Mma::kQueryLimit > 0) {
      largest = quad_max(largest);
      if (largest > 0) scale[half] = fmaxf(largest * (1 / Mma::kQueryLimit), 0x1p-126f);
      const float reciprocal = 1 / scale[half];
#pragma unroll
      for (int i = 0; i < kEights; ++i) {
        for (float& value : values[i]) value *= reciprocal;
      }
    }
#pragma unroll
    for (int i = 0; i < kEights; ++i) {
      constexpr int kBytes = 32 / Mma::kPack;  // of eight values
      const int byte = (t + 4 * i) * kBytes;
      unsigned words[kBytes / 4];
      for (int j = 0; j < kBytes / 4; ++j) {
        float part[Mma::kPack];
        for (int k = 0; k < Mma::kPack; ++k) part[k] = values[i][j * Mma::kPack + k];
        words[j] = Mma::pack(part);
      }
      char* place = queries + QueryMatrix::unit(lane.row[half] % kConsumerRows, byte / 16);
      if constexpr (kBytes == 8) {
        *reinterpret_cast<uint2*>(place + byte % 16) = {words[0], words[1]};
      } else {
        *reinterpret_cast<uint4*>(place) = {words[0], words[1], words[2], words[3]};
      }
    }
  }
}

// The end of a consumer's rows, whose outputs are in units of `unit`: the sink joins, and output
// and log-sum-exp (natural, the sink included: the logarithm of what the output was divided by) are
// written, a row's dims four at a time.
inline __device__ void finish_rows(const PrefillArguments& arguments, const Rows& rows,
                                   const LaneRows& lane, const Softmax& softmax,
                                   const Outputs& outputs, float unit) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = min(lane.row[half], rows.count - 1);
    const long long index = index_of(rows, row);
    const float sum = quad_sum(softmax.sum[half]);
    float lse = softmax.maximum[half] + lg2_approx_ftz(sum) - Mma::kWeightExponent;
    const float share = Sinks::join(arguments, rows.head(row), lse);
    const float factor = sum > 0 ? share * unit * rcp_approx_ftz(sum) : 0;
    // Words first and then, where there is such a row, all stores: the compiler is done with few
    // branches in half the time.
    constexpr int kPairs = kHeadDimV / 16;  // of 8 columns
    constexpr int kWords = Output::kBytes;  // of four dims
    unsigned words[kPairs][2 * Output::kBytes];
    int quad[kPairs];
#pragma unroll
    for (int pair = 0; pair < kPairs; ++pair) {
      float values[8] = {};  // formats pack eight
      quad[pair] = Values::quad(values, outputs, pair, half);
      for (int i = 0; i < 4; ++i) {
        values[i] = Output::scaled(values[i] * factor, arguments.output_scale);
      }
      Output::pack(words[pair], values);
    }
    if (lane.row[half] >= rows.count) continue;
    unsigned* const output =
        reinterpret_cast<unsigned*>(arguments.output) + index * (kHeadDimV / 4) * kWords;
#pragma unroll
    for (int pair = 0; pair < kPairs; ++pair) {
      if constexpr (kWords == 2) {
        reinterpret_cast<uint2*>(output)[quad[pair]] = {words[pair][0], words[pair][1]};
      } else {
        output[quad[pair]] = words[pair][0];
      }
    }
    if (arguments.lse != 0 && lane_id() % 4 == 0) {
      constexpr float kLn2 = 0.693147181f;
      reinterpret_cast<float*>(arguments.lse)[index] = lse * kLn2;
    }
  }
}

// A warpgroup with 64 of the block's rows.
class Consumer {
 public:
  __device__ Consumer(const PrefillArguments& arguments, const Memory& memory)
      : arguments_(arguments), memory_(memory) {}

  __device__ void run() {
    const Rows rows = rows_of_prefill(arguments_);
    const Tokens tokens = tokens_of(rows);
    token_ = tokens.first, end_ = tokens.end;
    const LaneRows lane(consumer());
    float scale[2];
    store_queries(scale, arguments_, rows, lane, memory_.base + consumer() * QueryMatrix::kBytes);
    fence_proxy_async();
    if (consumer() == 0) {
      bar_sync<1, kWarpgroupThreads>();
    } else {
      bar_sync<2, kWarpgroupThreads>();
    }
    Softmax softmax(arguments_, rows, lane.row, scale);
    Outputs outputs = {};
    Scores scores;
    if constexpr (kScoresAhead) {
      start(scores, stage_);
#pragma unroll 1
      while (token_ + kTileTokens < end_) add_tile<true>(outputs, scores, softmax);
      add_tile<false>(outputs, scores, softmax);
    } else {
#pragma unroll 1
      while (token_ < end_) {
        start(scores, stage_);
        add_tile<false>(outputs, scores, softmax);
      }
    }
    // The rows once more, which would have taken registers all the while.
    finish_rows(arguments_, rows_of_prefill(arguments_), lane, softmax, outputs, unit());
  }

 private:
  static __device__ int consumer() { return warp_id() / 4 - 1; }

  // What O is in units of: V's scale, or the largest of those of all tokens, which the last tile's
  // factors end with.
  __device__ float unit() const {
    if constexpr (!Scale::kPerToken) {
      return Scale::of_head(arguments_.cache.v_scale, kv_head_of_block());
    }
    return memory_.factors(stage_.factors.before().index)[kTileTokens + 1];
  }

  // Starts a tile's scores, once its keys are there.
  __device__ void start(Scores& scores, const Stage& stage) const {
    memory_.wait_full(Barrier::keys_full, stage);
    multiply_keys(scores, memory_.queries(consumer()), memory_.keys(stage.index));
  }

  // A tile joins O; with kAhead the next one's scores are started, and left to run. All waits for
  // memory come before any product is started: the compiler waits for products that are in flight
  // across one.
  template <bool kAhead>
  __device__ void add_tile(Outputs& outputs, Scores& scores, Softmax& softmax) {
    const Stage stage = stage_;
    wgmma_wait_group<0>();
    hold(scores);
    if constexpr (!Scale::kPerToken) memory_.arrive(Barrier::keys_empty, stage);
    softmax.scale(scores, memory_.key_scales(stage), token_);
    if constexpr (Scale::kPerToken) memory_.arrive(Barrier::keys_empty, stage);
    Weights weights;
    float factor[2];
    softmax.weigh(weights, factor, scores, memory_.factors(stage));
    stage_.advance();
    memory_.wait_full(Barrier::values_full, stage);
    if constexpr (kAhead) memory_.wait_full(Barrier::keys_full, stage_);
    for (unsigned(&step)[4] : weights) hold(step);
    Accumulation::add<kAhead>(outputs, weights, memory_.values(stage.index), factor, [&] {
      if constexpr (kAhead) {
        multiply_keys(scores, memory_.queries(consumer()), memory_.keys(stage_.index));
      }
    });
    memory_.arrive(Barrier::values_empty, stage);
    token_ += kTileTokens;
  }

  const PrefillArguments& arguments_;
  const Memory& memory_;
  int token_;  // first one of the tile that joins O next
  int end_;
  Stage stage_;  // of that tile
};

}  // namespace octavo
