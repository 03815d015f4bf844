#pragma once

#include "arguments.cuh"
#include "ptx/atom.cuh"

namespace octavo {

// The splits' results are merged by the block that finishes last.
struct Merge {
  // Called when the block's threads have written their results: whether it is the one to merge.
  // `shared` is memory to spare.
  static __device__ bool is_last(const DecodeArguments& arguments, unsigned& shared) {
    __syncthreads();
    if (threadIdx.x == 0) {
      const unsigned group = blockIdx.z * gridDim.y + blockIdx.y;
      shared = atom_acq_rel_inc(arguments.arrivals + group * 4ull, arguments.splits - 1);
    }
    __syncthreads();
    return shared == static_cast<unsigned>(arguments.splits) - 1;
  }
};

}  // namespace octavo
