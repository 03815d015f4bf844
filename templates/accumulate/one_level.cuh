#pragma once

namespace octavo {

// Products are summed by the tensor cores, from the first token to the last.
struct Accumulation {
  static __device__ void multiply(float (&sum)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    Mma::multiply(sum, a, b);
  }
};

}  // namespace octavo
