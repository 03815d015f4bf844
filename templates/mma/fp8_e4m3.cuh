#pragma once

#include "mma/fp8.cuh"

namespace octavo {

struct Mma : Fp8Mma {
  static __device__ void multiply(float (&sum)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    mma_m16n8k32_e4m3_e4m3(sum, a, b);
  }
};

}  // namespace octavo
