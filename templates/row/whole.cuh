#pragma once

#include "ptx/memory.cuh"

namespace octavo {

// A row on its lanes: each holds eight neighbouring values.
struct WholeRow {
  template <int kBytes>
  static __device__ void load(unsigned (&words)[2 * kBytes], unsigned long long row, int lane) {
    ld_global(words, row + 8 * lane * kBytes);
  }

  template <int kBytes>
  static __device__ void store(unsigned long long row, const unsigned (&words)[2 * kBytes],
                               int lane) {
    st_global(row + 8 * lane * kBytes, words);
  }
};

}  // namespace octavo
