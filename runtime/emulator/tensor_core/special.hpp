// The approximate special functions, a warp's 32 lanes at a time.
#pragma once

#include <span>
#include <string_view>

namespace octavo::emulator::tensor_core {

using SpecialFunction = void (*)(float* result, const float* x);  // [32] each; may be the same

struct Special {
  std::string_view
      opcode;  // "ex2.approx.ftz.f32": the PTX spelling, which compiled kernels link to
  SpecialFunction function;
};

// ex2, lg2, rcp, rsqrt, sqrt, sin, cos, tanh: .approx, with and without .ftz. Those of .f16 and
// .bf16 take and give fp32 that the 16-bit format holds.
std::span<const Special> special_table();
const Special* find_special(std::string_view opcode);

}  // namespace octavo::emulator::tensor_core
