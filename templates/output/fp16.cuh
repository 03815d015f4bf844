#pragma once

#include "format/fp16.cuh"

namespace octavo {

// What the output holds.
struct Output : Fp16 {
  static __device__ float scaled(float value, float) { return value; }
};

}  // namespace octavo
