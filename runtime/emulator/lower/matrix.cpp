#include "lower/matrix.hpp"

namespace octavo::emulator::lower {

using ptx::Type;
using tensor_core::Accumulator;
using tensor_core::Element;

Element element_of(const ptx::Instruction& instruction, std::size_t i) {
  switch (instruction.type(i)) {
    case Type::f16:
      return Element::f16;
    case Type::bf16:
      return Element::bf16;
    case Type::tf32:
      return Element::tf32;
    case Type::e4m3:
      return Element::e4m3;
    case Type::e5m2:
      return Element::e5m2;
    case Type::s8:
      return Element::s8;
    case Type::u8:
      return Element::u8;
    default:
      refuse(instruction, "this matrix element type is not supported");
  }
}

Accumulator accumulator_of(const ptx::Instruction& instruction, std::size_t i) {
  switch (instruction.type(i)) {
    case Type::f32:
      return Accumulator::f32;
    case Type::f16:
      return Accumulator::f16;
    case Type::s32:
      return Accumulator::s32;
    default:
      refuse(instruction, "this accumulator type is not supported");
  }
}

}  // namespace octavo::emulator::lower
