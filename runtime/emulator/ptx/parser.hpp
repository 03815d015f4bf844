// PTX text -> Module.
#pragma once

#include <string_view>

#include "ptx/ast.hpp"

namespace octavo::emulator::ptx {

// Accepts what NVRTC and nvcc print and what people write by hand, PTX ISA up to 9.x. Throws Fault
// (CUDA_ERROR_INVALID_PTX, "line N: ...: expected ...") for anything else; no input crashes or
// hangs it. Checks syntax and names, not whether an instruction exists: lowering does that.
Module parse(std::string_view text);

}  // namespace octavo::emulator::ptx
