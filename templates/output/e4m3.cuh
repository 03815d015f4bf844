#pragma once

#include "format/e4m3.cuh"

namespace octavo {

// What the output holds: value / output_scale, saturated.
struct Output : E4m3 {
  static __device__ float scaled(float value, float scale) { return value / scale; }
};

}  // namespace octavo
