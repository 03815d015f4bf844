#pragma once

namespace octavo {

// The tokens first..end - 1 that a query token sees, by its position: all of its sequence.
struct Mask {
  static __device__ int first(int) { return 0; }
  static __device__ int end(int, int kv_length) { return kv_length; }
};

}  // namespace octavo
