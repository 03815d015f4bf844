#pragma once

namespace octavo {

// The tokens first..end - 1 that a query token sees, by its position: itself and those before it,
// kWindow of them in all.
struct Mask {
  static __device__ int first(int position) { return max(position + 1 - kWindow, 0); }
  static __device__ int end(int position, int) { return position + 1; }
};

}  // namespace octavo
