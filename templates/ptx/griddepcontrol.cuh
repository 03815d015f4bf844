// Programmatic dependent launch: grids of a stream that begin before the one before has ended.
#pragma once

namespace octavo {

inline __device__ void griddepcontrol_launch_dependents() {
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}

// Until the grids before have ended and what they wrote can be read.
inline __device__ void griddepcontrol_wait() { asm volatile("griddepcontrol.wait;" ::: "memory"); }

}  // namespace octavo
