#pragma once

namespace octavo {

// How grids of a stream follow each other: the next one begins when this one has ended.
struct Launch {
  static constexpr bool kOverlaps = false;

  static __device__ void wait() {}
  static __device__ void let_next_begin() {}
};

}  // namespace octavo
