#pragma once

#include "arguments.cuh"
#include "ptx/relaxed.cuh"

namespace octavo {

// The splits' parts are merged by the block that starts last: the others run or have ended by then,
// so that it may wait for what they write. Who that is is asked for long before it matters.
class Merge {
 public:
  __device__ void start(const DecodeArguments& arguments) {
    if (threadIdx.x == 0 && arguments.splits > 1) {
      const unsigned group = blockIdx.z * gridDim.y + blockIdx.y;
      started_before_ = atom_relaxed_inc(arguments.arrivals + group * 4ull, arguments.splits - 1);
    }
  }

  // Whether the block is the one to merge.
  __device__ bool is_mine(const DecodeArguments& arguments) const {
    return __syncthreads_or(started_before_ == arguments.splits - 1);
  }

 private:
  int started_before_ = -1;  // splits that did, known to the block's first thread
};

}  // namespace octavo
