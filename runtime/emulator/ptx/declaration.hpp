// Declarations of variables and parameters, with their initialisers.
#pragma once

#include <cstdint>

#include "ptx/ast.hpp"
#include "ptx/lexer.hpp"

namespace octavo::emulator::ptx {

// What stands before the names: ".global .align 16 .v4 .f32".
struct DeclarationHead {
  Space space = Space::global;
  Type type = Type::none;
  std::uint32_t alignment = 0;
  std::uint8_t width = 1;  // 2 or 4 after .v2 or .v4
  bool external = false;
};

// The space that a directive names (".shared::cta" too), or generic if it names none.
Space space_named(std::string_view directive);

// Reads from after the space directive to before the first name.
DeclarationHead parse_head(Lexer& lexer, Space space, bool external);

// Reads "name[4][2] = {...}". `budget` bytes may be spent on initial values; it shrinks.
Variable parse_declarator(Lexer& lexer, const DeclarationHead& head, std::uint64_t& budget);

}  // namespace octavo::emulator::ptx
