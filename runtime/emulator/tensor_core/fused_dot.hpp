// The one primitive of all tensor cores: a truncating fused dot product. One output element,
// written to be read; tile_dot.hpp has the same arithmetic for a whole tile, fast.
//
// The model is of Fasi, Higham, Mikaitis and Pranesh's kind ("Numerical behavior of NVIDIA tensor
// cores", 2021), with the parameters of Khattak and Mikaitis (arXiv 2512.07004) and MMA-Sim (arXiv
// 2511.10909), and agrees with every recorded vector of tests/vectors.
#pragma once

#include <cstdint>
#include <span>

#include "tensor_core/number.hpp"

namespace octavo::emulator::tensor_core {

enum class Instruction : std::uint8_t { mma_sync, wgmma, tcgen05 };

// d = c + sum of `length` products, as one sum of integers: the term with the largest exponent (a
// product's is the sum of its factors', not renormalised) sets the scale, every term is truncated
// toward zero to `fraction_bits` below that exponent, and the exact sum is rounded once. Longer
// products are cut into consecutive blocks of `length`, each one's d the next one's c.
struct DotModel {
  int length;
  int fraction_bits;
  Rounding f32_rounding;  // with f16 accumulators it is always rne_fp16
  int lowest_exponent;    // of the scale
  // There is no such instruction: the compiler converts fp8 to fp16 and multiplies the elements
  // k mod 4 in {0, 1}, then those in {2, 3}, starting from +0, and adds c at the end.
  bool unpacked_fp8 = false;

  Rounding rounding(Accumulator accumulator) const {
    return accumulator == Accumulator::f16 ? Rounding::rne_fp16 : f32_rounding;
  }
};

// How this instruction multiplies floating-point elements on a device of this compute capability;
// nullptr if it does not exist there.
const DotModel* find_dot_model(Instruction instruction, int compute_capability, Element a,
                               Element b);

struct DotOperand {
  Element element;
  std::span<const std::uint32_t> bits;  // one element each
};

// One output: the bits of a·b + c in the accumulator's format (f32 or f16), as is c. The operands
// are of the same length, a multiple of 4.
std::uint32_t fused_dot(const DotModel& model, Accumulator accumulator, DotOperand a, DotOperand b,
                        std::uint32_t c);

// x + y as an ordinary addition in the accumulator's format, f32 or f16.
std::uint32_t rounded_sum(Accumulator accumulator, std::uint32_t x, std::uint32_t y);

}  // namespace octavo::emulator::tensor_core
