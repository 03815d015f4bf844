// The types of matrix instructions.
#pragma once

#include "lower/graph.hpp"
#include "tensor_core/mma.hpp"

namespace octavo::emulator::lower {

// Of the i-th type that the instruction names; refused if it is none.
tensor_core::Element element_of(const ptx::Instruction& instruction, std::size_t i);
tensor_core::Accumulator accumulator_of(const ptx::Instruction& instruction, std::size_t i);

}  // namespace octavo::emulator::lower
