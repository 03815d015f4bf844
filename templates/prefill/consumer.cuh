#pragma once

#include "prefill/softmax.cuh"
#include "ptx/fence.cuh"
#include "ptx/memory.cuh"
#include "ptx/warpgroup.cuh"

namespace octavo {

// Rows beyond the block's see what its last one does.
inline __device__ void store_sight(Sight& sight, const Rows& rows, const LaneRows& lane) {
  const auto position = [&](int row) { return rows.position(min(row, rows.count - 1)); };
  if (lane_id() % 4 == 0) {
    for (int row : lane.row) sight.position[row % kConsumerRows] = position(row);
  }
  if (threadIdx.x % kWarpgroupThreads == 0) {
    sight.from = Mask::first(position(lane.row[0] + kConsumerRows - 1));
    sight.to = Mask::end(position(lane.row[0]), rows.kv_length);
    sight.kv_length = rows.kv_length;
    sight.tokens = tokens_of(rows);
  }
}

// The end of a consumer's rows, whose outputs are in units of `unit`: the sink joins, and output
// and log-sum-exp (natural, the sink included: the logarithm of what the output was divided by) are
// written, a row's dims four at a time.
inline __device__ void finish_rows(const PrefillArguments& arguments, const Rows& rows,
                                   const LaneRows& lane, const Softmax& softmax,
                                   const Totals& totals, float unit) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = min(lane.row[half], rows.count - 1);
    const long long index = index_of(rows, row);
    const float sum = Values::kOnes > 0 ? totals.sums[half] : quad_sum(totals.sums[half]);
    float lse = lg2_approx_ftz(sum) - softmax.offset[half];
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
      quad[pair] = Values::quad(values, totals.outputs, pair, half);
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
  __device__ Consumer(const PrefillKernelArguments& arguments, const Memory& memory)
      : arguments_(arguments),
        memory_(memory),
        consumer_(__shfl_sync(0xffffffff, warp_id() / 4 - 1, 0)) {}

  __device__ void run() {
    const Rows rows = rows_of_prefill(arguments_);
    // One that has no rows leaves here, where the compiler sees that all lanes do: the loop's
    // numbers stay in uniform registers.
    if (consumer_ >= __shfl_sync(0xffffffff, consumers_of(rows), 0)) return;
    const LaneRows lane;
    float scale[2];
    store_queries(scale, arguments_, rows, lane, memory_.base + consumer_ * QueryMatrix::kBytes);
    fence_proxy_async();
    Sight& sight = memory_.sight(consumer_);
    store_sight(sight, rows, lane);
    if (consumer_ == 0) {
      bar_sync<1, kWarpgroupThreads>();
    } else if (consumer_ == 1) {
      bar_sync<2, kWarpgroupThreads>();
    } else {
      bar_sync<3, kWarpgroupThreads>();
    }
    const Queries queries(memory_.queries(consumer_));
    const float logit_scale = kLogitScale * Scale::of_head(arguments_.cache.k_scale, rows.kv_head);
    Softmax softmax(sight, logit_scale, scale);
    Totals totals;
    Stage stage;
#pragma unroll 1
    for (int token = sight.tokens.first; token < sight.tokens.end; token += kTileTokens) {
      add_tile(totals, softmax, queries, stage, token);
      stage.advance();
    }
    // The rows once more, which would have taken registers all the while.
    finish_rows(arguments_, rows_of_prefill(arguments_), LaneRows(), softmax, totals, unit(stage));
  }

 private:
  // What O is in units of: V's scale, or the largest of those of all tokens, which the last tile's
  // factors, those of the stage before, end with.
  __device__ float unit(const Stage& stage) const {
    if constexpr (!Scale::kPerToken) {
      return Scale::of_head(arguments_.cache.v_scale, kv_head_of_block());
    }
    return memory_.factors({(stage.index + kStages - 1) % kStages})[kTileTokens + 1];
  }

  // The tile at `token` joins O. While a consumer waits for products, the others have their turns.
  // Weights are packed after a wait for memory, as the compiler moves nothing across: packed one
  // after the other between the exponentials, each would wait for its own.
  __device__ void add_tile(Totals& totals, Softmax& softmax, const Queries& queries,
                           const Stage& stage, int token) const {
    Scores scores;
    memory_.wait_full(Barrier::keys_full, stage);
    start_scores(scores, queries, memory_.keys(stage.index));
    const bool hides = softmax.hides(token);
    wgmma_wait_group<0>();
    hold(scores);
    softmax.scale(scores, memory_.key_scales(stage), hides, token);
    Rescale rescale;
    softmax.lower(rescale.sums, scores);
    softmax.weigh(scores, memory_.factors(stage));
    memory_.wait_full(Barrier::values_full, stage);
    Weights weights;
    pack(weights, scores);
    for (int half = 0; half < 2; ++half) {
      rescale.outputs[half] = rescale.sums[half];
      if constexpr (Scale::kPerToken) rescale.outputs[half] *= memory_.factors(stage)[kTileTokens];
    }
    Accumulation::add(totals, weights, memory_.values(stage.index), rescale);
    memory_.arrive(Barrier::empty, stage.index);
  }

  const PrefillKernelArguments& arguments_;
  const Memory& memory_;
  int consumer_;
};

}  // namespace octavo
