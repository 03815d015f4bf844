#pragma once

#include "ptx/memory.cuh"

namespace octavo {

// A row on its lanes, so that the dimensions of a pair i, i + kRopeDims / 2 meet on one: a lane
// holds four neighbouring values of the first half of the rotated dimensions and the four at the
// same place of the second half. Beyond the rotated dimensions it holds eight neighbours.
struct HalvesRow {
  template <int kBytes>
  static __device__ void load(unsigned (&words)[2 * kBytes], unsigned long long row, int lane) {
    ld_global(reinterpret_cast<unsigned(&)[kBytes]>(words[0]), row + first(lane) * kBytes);
    ld_global(reinterpret_cast<unsigned(&)[kBytes]>(words[kBytes]), row + second(lane) * kBytes);
  }

  template <int kBytes>
  static __device__ void store(unsigned long long row, const unsigned (&words)[2 * kBytes],
                               int lane) {
    st_global(row + first(lane) * kBytes, reinterpret_cast<const unsigned(&)[kBytes]>(words[0]));
    st_global(row + second(lane) * kBytes,
              reinterpret_cast<const unsigned(&)[kBytes]>(words[kBytes]));
  }

 private:
  static __device__ bool rotated(int lane) { return lane < kRopeDims / 8; }
  static __device__ int first(int lane) { return rotated(lane) ? 4 * lane : 8 * lane; }
  static __device__ int second(int lane) {
    return rotated(lane) ? kRopeDims / 2 + 4 * lane : 8 * lane + 4;
  }
};

}  // namespace octavo
