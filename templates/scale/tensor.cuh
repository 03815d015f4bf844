#pragma once

#include "arguments.cuh"

namespace octavo {

// One scale for all of K and one for all of V, which the caller has set.
struct Scale {
  // The scale for a row of this KV head, whose values lie on kLanes lanes.
  template <int kLanes>
  static __device__ float of_row(DeviceAddress scales, int, const float (&)[8]) {
    return *reinterpret_cast<const float*>(scales);
  }

  static __device__ float reciprocal(float scale) { return 1 / scale; }

  static __device__ void store(DeviceAddress, long long, float) {}
};

}  // namespace octavo
