#pragma once

#include "arguments.cuh"

namespace octavo {

// What joins the softmax's denominator besides the tokens, as a logit in base 2: the query head's
// own.
struct Sinks {
  static __device__ float logit(const DecodeArguments& arguments, int query_head) {
    constexpr float kLog2E = 1.44269504f;
    return reinterpret_cast<const float*>(arguments.sinks)[query_head] * kLog2E;
  }
};

}  // namespace octavo
