// What PTX's arithmetic instructions compute, one thread at a time, straight from the ISA's text.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "ptx/ast.hpp"

namespace octavo::emulator::random_ptx {

// The result of an instruction that only computes, from the bits of its sources (a predicate is 0
// or 1); nothing if it is not one. The result's high bits beyond the destination are unspecified.
std::optional<std::uint64_t> evaluate(const ptx::Instruction& instruction,
                                      std::span<const std::uint64_t> sources);

// setp's comparison of two values, in its type.
bool compare(const ptx::Instruction& instruction, std::uint64_t a, std::uint64_t b);

// f16x2 or bf16x2, and setp's comparison of its lower (0) or upper (1) halves.
bool is_pair(ptx::Type type);
bool compare_halves(const ptx::Instruction& instruction, std::uint64_t a, std::uint64_t b,
                    int half);

}  // namespace octavo::emulator::random_ptx
