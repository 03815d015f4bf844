#pragma once

#include "attention/merge_rows.cuh"
#include "ptx/atom.cuh"

namespace octavo {

// The splits' results are merged by the block that finishes last.
struct Merge {
  // Called when the block's threads have written their results. `shared` is memory to spare.
  static __device__ void after_split(const DecodeArguments& arguments, const Rows& rows,
                                     unsigned& shared) {
    if (arguments.splits == 1) return;
    __syncthreads();
    if (threadIdx.x == 0) {
      const unsigned group = blockIdx.z * gridDim.y + blockIdx.y;
      shared = atom_acq_rel_inc(arguments.arrivals + group * 4ull, arguments.splits - 1);
    }
    __syncthreads();
    if (shared == static_cast<unsigned>(arguments.splits) - 1) merge_rows(arguments, rows);
  }
};

}  // namespace octavo
