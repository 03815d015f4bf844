#pragma once

#include "ptx/griddepcontrol.cuh"

namespace octavo {

// How grids of a stream follow each other: the next one's blocks may take their places, as soon as
// this one lets them and its blocks leave them, and wait there for its end.
struct Launch {
  static constexpr bool kOverlaps = true;

  // Waits until the grids before have ended and what they wrote is to be seen. Every block does so,
  // or this grid could end before those, and more than once costs nothing.
  static __device__ void wait() { griddepcontrol_wait(); }

  // Lets the next grid's blocks begin. After `wait`, what they can see before theirs is at least
  // what the grid before this one left; before it, what this grid can see then. More than once
  // costs nothing.
  static __device__ void let_next_begin() { griddepcontrol_launch_dependents(); }
};

}  // namespace octavo
