#pragma once

#include "ptx/griddepcontrol.cuh"

namespace octavo {

// How grids of a stream follow each other: the next one's blocks may take their places as soon as
// this one's leave them, and wait there for its end.
struct Launch {
  static __device__ void begin() {
    griddepcontrol_launch_dependents();
    griddepcontrol_wait();
  }
};

}  // namespace octavo
