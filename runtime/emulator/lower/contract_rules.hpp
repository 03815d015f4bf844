// What ptxas fuses, and within what.
#pragma once

#include <vector>

#include "lower/table.hpp"
#include "ptx/ast.hpp"

namespace octavo::emulator::lower {

// An add or sub, and a mul, that may be fused with what fits.
bool is_sum(const ptx::Instruction& instruction);
bool is_product(const ptx::Instruction& instruction);
bool fit_together(const ptx::Instruction& product, const ptx::Instruction& sum);

// Whether it gives another name to a product, or to its opposite.
bool is_copy(const ptx::Instruction& copy, const ptx::Instruction& product);

// Whether a basic block of ptxas's begins with an instruction, by its number; one more than there
// are instructions. `rows` are theirs. A jump to what follows it joins two blocks into one, and a
// label that nothing jumps to ends none.
std::vector<bool> block_begins(const ptx::Function& function, const std::vector<const Row*>& rows);

}  // namespace octavo::emulator::lower
