// Floating-point instructions of evaluate(), and conversions.
#pragma once

#include "integers.hpp"

namespace octavo::emulator::random_ptx {

std::optional<std::uint64_t> evaluate_float(const ptx::Instruction& instruction, Sources sources);
std::uint64_t convert(const ptx::Instruction& instruction, std::uint64_t source);

// The value of f32, f64, f16 or bf16 bits; .ftz flushes f32.
double number_of(std::uint64_t bits, ptx::Type type, bool ftz);

}  // namespace octavo::emulator::random_ptx
