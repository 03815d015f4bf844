// Conversions to and from pairs of fp8, sm_89 and later. A pair's low half comes first.
#pragma once

namespace octavo {

inline __device__ unsigned short cvt_rn_satfinite_e4m3x2_f32(float low, float high) {
  unsigned short pair;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(high), "f"(low));
  return pair;
}

inline __device__ unsigned short cvt_rn_satfinite_e5m2x2_f32(float low, float high) {
  unsigned short pair;
  asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(high), "f"(low));
  return pair;
}

inline __device__ unsigned cvt_rn_f16x2_e4m3x2(unsigned short pair) {
  unsigned halves;
  asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(halves) : "h"(pair));
  return halves;
}

inline __device__ unsigned cvt_rn_f16x2_e5m2x2(unsigned short pair) {
  unsigned halves;
  asm("cvt.rn.f16x2.e5m2x2 %0, %1;" : "=r"(halves) : "h"(pair));
  return halves;
}

}  // namespace octavo
