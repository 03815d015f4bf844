#pragma once

#include "ptx/convert.cuh"
#include "ptx/convert_fp8.cuh"
#include "ptx/mov.cuh"

namespace octavo {

// fp8 by the conversion instructions of sm_89 and later. Into fp8: to nearest even, beyond the
// largest finite value (infinities too) to that value, NaN to 0x7f. Out of fp8: exact.
struct Fp8Convert {
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

  // No instruction leads to bf16, but by way of fp16 and fp32 it is exact too.
  static __device__ unsigned bf16x2_from_e4m3x2(unsigned short pair) {
    return bf16x2(f16x2_from_e4m3x2(pair));
  }
  static __device__ unsigned bf16x2_from_e5m2x2(unsigned short pair) {
    return bf16x2(f16x2_from_e5m2x2(pair));
  }

 private:
  static __device__ unsigned bf16x2(unsigned halves) {
    return cvt_rn_bf16x2_f32(cvt_f32_f16(halves), cvt_f32_f16(mov_b32_high(halves)));
  }
};

}  // namespace octavo
