// Names of types, as modifiers and declarations spell them without the dot.
#pragma once

#include <string_view>

#include "ptx/ast.hpp"

namespace octavo::emulator::ptx {

Type type_named(std::string_view name);  // none if it is not a type

}  // namespace octavo::emulator::ptx
