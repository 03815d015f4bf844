#pragma once

#include "arguments.cuh"

namespace octavo {

// What joins the softmax's denominator besides the tokens: nothing.
struct Sinks {
  static __device__ float join(const PrefillArguments&, int, float&) { return 1; }
};

}  // namespace octavo
