// Loads and products that stay where they are and take no registers but their own, where the
// compiler would begin so many at once that it has none left.
#pragma once

namespace octavo {

inline __device__ float2 ld_shared(const float2* pair) {
  float2 result;
  asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];"
               : "=f"(result.x), "=f"(result.y)
               : "r"(static_cast<unsigned>(__cvta_generic_to_shared(pair)))
               : "memory");
  return result;
}

inline __device__ void mul_rn_f32(float& value, float factor) {
  asm volatile("mul.rn.f32 %0, %0, %1;" : "+f"(value) : "f"(factor));
}

}  // namespace octavo
