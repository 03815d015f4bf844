#pragma once

#include "arguments.cuh"

namespace octavo {

// What joins the softmax's denominator besides the tokens, as a logit in base 2: nothing.
struct Sinks {
  static __device__ float logit(const DecodeArguments&, int) { return -INFINITY; }
};

}  // namespace octavo
