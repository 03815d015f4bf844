#pragma once

#include "fp8_convert/to_bf16.cuh"
#include "ptx/convert_fp8.cuh"

namespace octavo {

// fp8 by the conversion instructions of sm_89 and later. Into fp8: to nearest even, beyond the
// largest finite value (infinities too) to that value, NaN to 0x7f. Out of fp8: exact.
struct Fp8Convert : Fp8ToBf16 {
  static __device__ unsigned short e4m3x2(float low, float high) {
    return cvt_rn_satfinite_e4m3x2_f32(low, high);
  }
  static __device__ unsigned short e5m2x2(float low, float high) {
    return cvt_rn_satfinite_e5m2x2_f32(low, high);
  }
  static __device__ unsigned f16x2_from_e4m3x2(unsigned short pair) {
    return cvt_rn_f16x2_e4m3x2(pair);
  }
  static __device__ unsigned f16x2_from_e5m2x2(unsigned short pair) {
    return cvt_rn_f16x2_e5m2x2(pair);
  }
};

}  // namespace octavo
