#pragma once

#include "attention/pipeline.cuh"

namespace octavo {

// What decode finds in the cache, and where, is there before the grids that may still run beside it
// begin: these write at most the queries and the batch's own tokens. All else is read meanwhile.
struct History {
  // Before anything is read.
  static __device__ void begin(const DecodeArguments&, Merge&) {}

  // Where the block has nothing to do.
  static __device__ void leave() { Launch::wait(); }

  // The first tiles are copied while that grid runs, but for those with tokens that it may write.
  static __device__ void before_queries(const DecodeArguments& arguments, const Rows& rows,
                                        Pipeline& pipeline, Merge& merge) {
    pipeline.fill_beside(rows.first_position);
    Launch::wait();
    merge.start(arguments);
  }
  static __device__ void after_queries(Pipeline& pipeline) {
    pipeline.prefetch_keys();
    if (pipeline.all_copied()) Launch::let_next_begin();
  }
};

}  // namespace octavo
