#pragma once

#include "format/bf16.cuh"

namespace octavo {

// What the output holds.
struct Output : Bf16 {
  static __device__ float scaled(float value, float) { return value; }
};

}  // namespace octavo
