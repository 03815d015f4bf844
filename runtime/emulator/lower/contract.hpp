// Products fused into sums, as ptxas does.
#pragma once

#include "ptx/ast.hpp"

namespace octavo::emulator::lower {

// A mul that names no rounding is fused into the adds and subs of its basic block that name none
// either and use it, if nothing else does: the product is then not rounded. Puts an fma in the
// place of each such sum. This is what ptxas 13.0 makes of PTX for sm_80 to sm_120, which
// tests/contract/ holds it to; PTX for debugging it leaves alone. The instructions must have passed
// check().
void contract(ptx::Function& function);

}  // namespace octavo::emulator::lower
