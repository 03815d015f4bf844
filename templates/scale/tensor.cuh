#pragma once

#include "arguments.cuh"

namespace octavo {

// One scale for all of K and one for all of V, which the caller has set. Values are multiplied by
// its reciprocal, rounded to fp32; what then lies beyond the format saturates.
struct Scale {
  // Whether a row has a scale of its own, at scales[row].
  static constexpr bool kPerToken = false;

  // What all rows of a KV head are multiplied by.
  static __device__ float of_head(DeviceAddress scales, int) {
    return *reinterpret_cast<const float*>(scales);
  }

  // The scale for a row of this KV head, whose values lie on kLanes lanes.
  template <int kLanes>
  static __device__ float of_row(DeviceAddress scales, int, const float (&)[8]) {
    return *reinterpret_cast<const float*>(scales);
  }

  static __device__ float reciprocal(float scale) { return 1 / scale; }

  static __device__ void store(DeviceAddress, long long, float) {}
};

}  // namespace octavo
