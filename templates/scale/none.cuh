#pragma once

#include "arguments.cuh"

namespace octavo {

// The cache holds the values themselves: bf16 and fp16.
struct Scale {
  // Whether a row has a scale of its own, at scales[row].
  static constexpr bool kPerToken = false;

  // What all rows of a KV head are multiplied by.
  static __device__ float of_head(DeviceAddress, int) { return 1; }

  template <int kLanes>
  static __device__ float of_row(DeviceAddress, int, const float (&)[8]) {
    return 1;
  }

  static __device__ float reciprocal(float) { return 1; }

  static __device__ void store(DeviceAddress, long long, float) {}
};

}  // namespace octavo
