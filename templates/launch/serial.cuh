#pragma once

namespace octavo {

// How grids of a stream follow each other: the next one begins when this one has ended.
struct Launch {
  static __device__ void begin() {}
};

}  // namespace octavo
