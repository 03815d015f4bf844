// The body of a function: statements between its braces.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "ptx/ast.hpp"
#include "ptx/lexer.hpp"

namespace octavo::emulator::ptx {

using Names = std::set<std::string, std::less<>>;

// A name that a body uses and its function does not declare: the module must, before its end.
struct ModuleReference {
  int line;
  std::string name;
};

// Reads from the opening brace to the closing one and fills in what `function` lacks, its
// parameters being there already.
void parse_body(Lexer& lexer, const Names& module_names, Function& function,
                std::vector<ModuleReference>& references, std::uint64_t& budget);

// Drops a directive with its arguments, if the next token is one that says nothing about what a
// program computes: .loc, .file, .section, .pragma.
bool skip_debug_directive(Lexer& lexer);

}  // namespace octavo::emulator::ptx
