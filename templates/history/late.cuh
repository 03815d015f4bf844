#pragma once

#include "attention/pipeline.cuh"

namespace octavo {

// A hint before the grids before have ended, while memory has little to do: the tiles that the
// block's warps will take first, as far as can be seen now. Lengths that cannot be are another
// batch's, or no one's yet: the page table is read at tokens that a cache may hold, and no others.
inline __device__ void prefetch_first_tiles(const DecodeArguments& arguments) {
  const Rows rows = rows_of_block(arguments.batch);
  if (rows.count <= 0 || rows.first_position < 0) return;
  if (rows.position(rows.count - 1) >= rows.kv_length) return;
  if (rows.kv_length > KvLayout::capacity(arguments.cache)) return;
  Pipeline(arguments.cache, rows, share_of_block(rows, arguments.splits), 0).prefetch();
}

// Whatever decode reads may be written by the grid before: it waits for that grid's end.
struct History {
  // Before anything is read.
  static __device__ void begin(const DecodeArguments& arguments, Merge& merge) {
    if constexpr (Launch::kOverlaps) prefetch_first_tiles(arguments);
    Launch::wait();
    merge.start(arguments);
  }

  // Where the block has nothing to do.
  static __device__ void leave() {}

  // The queries are read before the first tiles, as they would wait behind all that the device's
  // blocks copy. These tiles may be in the L2 cache already.
  static __device__ void before_queries(const DecodeArguments&, const Rows&, Pipeline&, Merge&) {}
  static __device__ void after_queries(Pipeline& pipeline) {
    pipeline.fill();
    pipeline.prefetch_keys();
  }
};

}  // namespace octavo
