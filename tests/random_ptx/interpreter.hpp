// PTX run one thread at a time: slow, simple, and nothing shared with the emulator but its parser.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "execute/program.hpp"
#include "ptx/ast.hpp"

namespace octavo::emulator::random_ptx {

// Runs a kernel, block after block. Each thread runs on its own until it ends or waits for others;
// there is no warp but where an instruction speaks of one. Global addresses are the host's. Throws
// Fault for what it does not know, for a deadlock and for a thread that does not end.
void interpret(const ptx::Module& module, std::string_view kernel, Dim3 grid, Dim3 block,
               std::span<const std::byte> parameters);

}  // namespace octavo::emulator::random_ptx
