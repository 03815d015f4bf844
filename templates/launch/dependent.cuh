#pragma once

#include "ptx/griddepcontrol.cuh"

namespace octavo {

// How grids of a stream follow each other: the next one's blocks may take their places as soon as
// this one's leave them, and wait there for its end. `hint` is done before the wait: what it reads
// may be about to change, and nothing may depend on it but time.
struct Launch {
  template <class Hint>
  static __device__ void begin(const Hint& hint) {
    griddepcontrol_launch_dependents();
    hint();
    griddepcontrol_wait();
  }
  static __device__ void begin() {
    begin([] {});
  }
};

}  // namespace octavo
