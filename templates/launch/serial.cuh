#pragma once

namespace octavo {

// How grids of a stream follow each other: the next one begins when this one has ended, so that
// there is no time in which a hint would help.
struct Launch {
  template <class Hint>
  static __device__ void begin(const Hint&) {}
  static __device__ void begin() {}
};

}  // namespace octavo
