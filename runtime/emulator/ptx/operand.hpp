// Operands of instructions.
#pragma once

#include "ptx/ast.hpp"
#include "ptx/lexer.hpp"
#include "ptx/scopes.hpp"

namespace octavo::emulator::ptx {

// Reads one operand. A name that is no register is a symbol, to be resolved when all labels are
// known.
Operand parse_operand(Lexer& lexer, Scopes& scopes);

// The register of this name and no other operand; Fault if it is none.
RegisterId parse_register(Lexer& lexer, Scopes& scopes);

}  // namespace octavo::emulator::ptx
