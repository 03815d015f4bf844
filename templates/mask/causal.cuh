#pragma once

namespace octavo {

// The tokens first..end - 1 that a query token sees, by its position: itself and those before it.
struct Mask {
  static __device__ int first(int) { return 0; }
  static __device__ int end(int position, int) { return position + 1; }
};

}  // namespace octavo
