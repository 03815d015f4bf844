#include "ptx/ast.hpp"

#include <algorithm>
#include <array>

#include "ptx/types.hpp"

namespace octavo::emulator::ptx {
namespace {

struct TypeRow {
  Type type;
  std::string_view name;
  int bytes;
};

constexpr std::array kTypes = {
    TypeRow{Type::pred, "pred", 1},       TypeRow{Type::b8, "b8", 1},
    TypeRow{Type::b16, "b16", 2},         TypeRow{Type::b32, "b32", 4},
    TypeRow{Type::b64, "b64", 8},         TypeRow{Type::b128, "b128", 16},
    TypeRow{Type::u8, "u8", 1},           TypeRow{Type::u16, "u16", 2},
    TypeRow{Type::u32, "u32", 4},         TypeRow{Type::u64, "u64", 8},
    TypeRow{Type::s8, "s8", 1},           TypeRow{Type::s16, "s16", 2},
    TypeRow{Type::s32, "s32", 4},         TypeRow{Type::s64, "s64", 8},
    TypeRow{Type::f16, "f16", 2},         TypeRow{Type::f16x2, "f16x2", 4},
    TypeRow{Type::bf16, "bf16", 2},       TypeRow{Type::bf16x2, "bf16x2", 4},
    TypeRow{Type::tf32, "tf32", 4},       TypeRow{Type::f32, "f32", 4},
    TypeRow{Type::f32x2, "f32x2", 8},     TypeRow{Type::f64, "f64", 8},
    TypeRow{Type::e4m3, "e4m3", 1},       TypeRow{Type::e5m2, "e5m2", 1},
    TypeRow{Type::e4m3x2, "e4m3x2", 2},   TypeRow{Type::e5m2x2, "e5m2x2", 2},
    TypeRow{Type::ue8m0x2, "ue8m0x2", 2}, TypeRow{Type::u16x2, "u16x2", 4},
    TypeRow{Type::s16x2, "s16x2", 4},
};

}  // namespace

int bytes_of(Type type) {
  const auto row = std::ranges::find(kTypes, type, &TypeRow::type);
  return row == kTypes.end() ? 0 : row->bytes;
}

Type type_named(std::string_view name) {
  const auto row = std::ranges::find(kTypes, name, &TypeRow::name);
  return row == kTypes.end() ? Type::none : row->type;
}

bool Instruction::has(std::string_view modifier) const {
  return std::ranges::find(modifiers, modifier) != modifiers.end();
}

Type Instruction::type(std::size_t i) const {
  for (const std::string& modifier : modifiers) {
    const Type type = type_named(modifier);
    if (type != Type::none && i-- == 0) return type;
  }
  return Type::none;
}

const Function* Module::find(std::string_view name) const {
  const auto function = std::ranges::find(functions, name, &Function::name);
  return function == functions.end() ? nullptr : &*function;
}

}  // namespace octavo::emulator::ptx
