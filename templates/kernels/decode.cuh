#pragma once

#include "attention/pipeline.cuh"
#include "attention/warp_parts.cuh"

namespace octavo {

extern __shared__ uint4 shared_memory[];

// Attention of a few query tokens a sequence over its KV cache. A block takes kRows query rows of
// one KV head and a share of the tokens; its warps take that share's tiles in turn, each with its
// own copies in flight and its own softmax. Their parts are merged, and then the splits' are.
extern "C" __global__ void __launch_bounds__(kThreads, 1)
    octavo_decode(const __grid_constant__ DecodeArguments arguments) {
  Merge merge;
  History::begin(arguments, merge);
  const Rows rows = rows_of_block(arguments.batch);
  if (rows.count <= 0) return History::leave();
  const Share share = share_of_block(rows, arguments.splits);

  char* const memory = reinterpret_cast<char*>(shared_memory);
  char* const stages = memory + warp_id() * kStages * kStageBytes;
  Pipeline pipeline(arguments.cache, rows, share,
                    static_cast<unsigned>(__cvta_generic_to_shared(stages)));
  History::before_queries(arguments, rows, pipeline, merge);
  Query query(arguments, rows, reinterpret_cast<uint4*>(memory + kQueryOffset));
  History::after_queries(pipeline);
  query.convert();
  Softmax softmax(arguments, rows, query);
  Outputs outputs = {};
  while (pipeline.advance()) {
    const char* const tile = stages + pipeline.offset();
    Scores scores = {};
    multiply_keys(scores, query, tile);
    Weights weights;
    softmax.update(weights, outputs, scores, tile, pipeline.token());
#pragma unroll
    for (int step = 0; step < kTileSteps; ++step) {
      constexpr int kStepBytes = Mma::kStepTokens * kValueUnits * 16;
      multiply_values(outputs, weights[step], tile + kValuesOffset + step * kStepBytes);
    }
    pipeline.release();
  }

  auto& parts = *reinterpret_cast<WarpParts*>(memory);
  __syncthreads();  // no warp needs its tiles any more
  store_part(parts, rows, softmax, outputs);
  __syncthreads();
  merge_warps(arguments, rows, parts);
  if (arguments.splits > 1 && merge.is_mine(arguments)) merge_splits(arguments, rows);
}

}  // namespace octavo
