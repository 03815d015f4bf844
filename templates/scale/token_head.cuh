#pragma once

#include "arguments.cuh"

namespace octavo {

// A scale for each token and KV head: the least power of two that brings the row's largest
// magnitude within the format's finite values. In a floating-point format a power of two costs no
// accuracy against any other scale, dividing by it is exact, and so is folding V's scales into the
// softmax weights.
struct Scale {
  // Whether a row has a scale of its own, at scales[row].
  static constexpr bool kPerToken = true;

  // What all rows of a KV head are multiplied by.
  static __device__ float of_head(DeviceAddress, int) { return 1; }

  // The scale for a row that kLanes neighbouring lanes hold, eight values each. Infinities and NaNs
  // do not count, so that they harm no value but themselves: an infinity is stored as the row's
  // largest value and a NaN as NaN. A row of zeros has scale 1. The scale is at least 2^-126, and
  // no row calls for more than 2^120, so that the scale and its reciprocal are normal numbers.
  template <int kLanes>
  static __device__ float of_row(DeviceAddress, int, const float (&values)[8]) {
    float largest = 0;
    for (float value : values) largest = fmaxf(largest, fabsf(value));  // which skips NaNs
    if (largest > kLargestFloat) {
      largest = 0;
      for (float value : values) {
        if (fabsf(value) <= kLargestFloat) largest = fmaxf(largest, fabsf(value));
      }
    }
    for (int mask = kLanes / 2; mask > 0; mask /= 2) {
      largest = fmaxf(largest, __shfl_xor_sync(0xffffffff, largest, mask));
    }
    if (largest == 0) return 1;
    // Up to a fraction of 1.75, that of the largest finite value, the exponents subtract; above it
    // the sum carries into the exponent.
    const int exponent = static_cast<int>((__float_as_uint(largest) + 0x1fffff) >> 23);
    return __uint_as_float(max(exponent - Cache::kMaxExponent, 1) << 23);
  }

  static __device__ float reciprocal(float scale) {
    return __uint_as_float((254u << 23) - __float_as_uint(scale));
  }

  static __device__ void store(DeviceAddress scales, long long row, float scale) {
    reinterpret_cast<float*>(scales)[row] = scale;
  }

 private:
  static constexpr float kLargestFloat = 0x1.fffffep127f;
};

}  // namespace octavo
