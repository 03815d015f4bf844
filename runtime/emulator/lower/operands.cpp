// What an instruction's operands are worth, and where its results go.
#include <bit>
#include <cstddef>

#include "execute/warp.hpp"
#include "lower/emitter.hpp"
#include "lower/numbers.hpp"
#include "lower/special_registers.hpp"

namespace octavo::emulator::lower {

using ptx::Operand;
using ptx::Type;

Emitter::Value* Emitter::read_register(ptx::RegisterId reg) {
  Value*& value = values_[reg];
  if (value != nullptr) {
    if (any_nan_[reg]) value = as_bits(canonical_nan(*this, as_float(value, Type::f32)));
    any_nan_[reg] = false;
    return value;
  }
  known_.push_back(reg);
  const unsigned bits = bits_of(graph_.registers[reg].type);
  // A register that no path has written reads as ones, as the frame does at first.
  if (graph_.slots[reg] == kNoSlot) return value = splat(~std::uint64_t{0}, bits);
  Value* slot = ir_.CreateConstInBoundsGEP1_64(ir_.getInt8Ty(), frame_, graph_.slots[reg]);
  return value = ir_.CreateAlignedLoad(lanes(bits), slot, llvm::Align(32));
}

Emitter::Value* Emitter::immediate(const Operand& operand, unsigned bits) {
  std::uint64_t value = operand.bits;
  if (operand.float_bits == 64 && bits == 32) {
    value = std::bit_cast<std::uint32_t>(static_cast<float>(std::bit_cast<double>(value)));
  } else if (operand.float_bits == 32 && bits == 64) {
    value = std::bit_cast<std::uint64_t>(
        static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(value))));
  } else if (operand.float_bits > bits) {
    reject(instruction(), "a floating-point literal where none can be");
  }
  if (bits == 128) {
    return llvm::ConstantInt::get(lanes(128), llvm::APInt(128, value));
  }
  return splat(value, bits);
}

Emitter::Value* Emitter::special(const Operand& operand, unsigned& bits) {
  Value* value = read_special_register(*this, operand.text);
  if (value == nullptr)
    refuse(instruction(), "special register " + operand.text + " is not supported");
  bits = value->getType()->getScalarSizeInBits();
  return value;
}

Emitter::Value* Emitter::source(const Operand& operand, unsigned bits, bool wider) {
  Value* value = nullptr;
  unsigned has = bits;
  switch (operand.kind) {
    case Operand::Kind::reg:
      if (graph_.registers[operand.reg].type == Type::pred) {
        reject(instruction(),
               "predicate " + graph_.registers[operand.reg].name + " where a value must be");
      }
      value = read_register(operand.reg);
      undefined_ = either(undefined_, undefined_lanes(operand.reg));
      has = value->getType()->getScalarSizeInBits();
      if (has < bits || (has > bits && !wider)) {
        reject(instruction(), graph_.registers[operand.reg].name + " has " + std::to_string(has) +
                                  " bits, not " + std::to_string(bits));
      }
      break;
    case Operand::Kind::immediate:
      return immediate(operand, bits);
    case Operand::Kind::special:
      value = special(operand, has);
      break;
    case Operand::Kind::symbol:
      value = symbol_address(operand);
      has = 64;
      break;
    default:
      reject(instruction(), "an operand of this kind cannot be here");
  }
  return has == bits ? value : ir_.CreateZExtOrTrunc(value, lanes(bits));
}

Emitter::Value* Emitter::source(std::size_t i, unsigned bits, bool wider) {
  return source(instruction().operands[i], bits, wider);
}

Emitter::Value* Emitter::source_float(std::size_t i, Type type, bool any_nan) {
  const Operand& operand = instruction().operands[i];
  if (any_nan && type == Type::f32 && operand.kind == Operand::Kind::reg && any_nan_[operand.reg]) {
    undefined_ = either(undefined_, undefined_lanes(operand.reg));
    return as_float(values_[operand.reg], type);
  }
  return as_float(source(i, bits_of(type)), type);
}

Emitter::Value* Emitter::source_predicate(const Operand& operand) {
  if (operand.kind == Operand::Kind::immediate) return splat(operand.bits != 0 ? ~0ull : 0, 32);
  if (operand.kind == Operand::Kind::special && operand.text == "%is_explicit_cluster") {
    return read_special_register(*this, operand.text);
  }
  if (operand.kind != Operand::Kind::reg || graph_.registers[operand.reg].type != Type::pred) {
    reject(instruction(), "a predicate must be here");
  }
  Value* value = read_register(operand.reg);
  undefined_ = either(undefined_, undefined_lanes(operand.reg));
  return operand.negated ? ir_.CreateNot(value) : value;
}

Emitter::Value* Emitter::as_float(Value* bits, Type type) {
  if (type == Type::bf16) {
    return ir_.CreateBitCast(ir_.CreateShl(ir_.CreateZExt(bits, lanes(32)), splat(16, 32)),
                             floats(Type::f32));
  }
  return ir_.CreateBitCast(bits, floats(type));
}

Emitter::Value* Emitter::as_bits(Value* value) {
  llvm::Type* type = value->getType();
  if (!type->isFPOrFPVectorTy()) return value;
  return ir_.CreateBitCast(value, lanes(type->getScalarSizeInBits()));
}

void Emitter::write_register(ptx::RegisterId reg, Value* value) {
  Value* through = guard();
  if (through != nullptr) {
    value = merge(through, value, read_register(reg));
  }
  write_undefined(reg, through);
  if (values_[reg] == nullptr) known_.push_back(reg);
  values_[reg] = value;
  any_nan_[reg] = false;
  if (!is_written_[reg]) {
    is_written_[reg] = true;
    written_.push_back(reg);
  }
}

void Emitter::write(const Operand& operand, Value* value, bool sign_extend) {
  if (operand.kind == Operand::Kind::sink) return;
  if (operand.kind != Operand::Kind::reg)
    reject(instruction(), "the destination must be a register");
  value = as_bits(value);
  const ptx::Register& reg = graph_.registers[operand.reg];
  const unsigned has = value->getType()->getScalarSizeInBits(), wants = bits_of(reg.type);
  if (has > wants) {
    reject(instruction(),
           reg.name + " has " + std::to_string(wants) + " bits, not " + std::to_string(has));
  }
  if (has < wants) {
    value = sign_extend ? ir_.CreateSExt(value, lanes(wants)) : ir_.CreateZExt(value, lanes(wants));
  }
  write_register(operand.reg, value);
}

void Emitter::write_any_nan(std::size_t i, Value* f32) {
  const Operand& operand = instruction().operands[i];
  if (instruction().guarded || operand.kind != Operand::Kind::reg ||
      bits_of(graph_.registers[operand.reg].type) != 32) {
    return write(i, canonical_nan(*this, f32));
  }
  write(i, f32);
  any_nan_[operand.reg] = true;
}

void Emitter::write(std::size_t i, Value* value, bool sign_extend) {
  write(instruction().operands[i], value, sign_extend);
}

// --- addresses

Emitter::Value* Emitter::symbol_address(const Operand& operand) {
  const Place* place = graph_.find_place(step_->function, operand.text);
  if (place == nullptr) {
    const auto function = function_address(*graph_.module, operand.text);
    if (!function) refuse(instruction(), "the address of " + operand.text + " cannot be taken");
    return splat(*function, 64);
  }
  const auto offset =
      static_cast<std::uint64_t>(operand.kind == Operand::Kind::address ? 0 : operand.offset);
  switch (place->kind) {
    case Place::Kind::shared: {
      Value* begin = load_member(ir_.getInt32Ty(), offsetof(Warp, shared_begin));
      return splat(ir_.CreateAdd(ir_.CreateZExt(begin, ir_.getInt64Ty()),
                                 ir_.getInt64(place->offset + offset)));
    }
    case Place::Kind::local:
      return splat(place->offset + offset, 64);
    case Place::Kind::stack: {
      Value* frame = ir_.CreateZExt(load_member(lanes(32), offsetof(Warp, stack)), lanes(64));
      return ir_.CreateAdd(frame, splat(place->offset + offset, 64));
    }
    case Place::Kind::parameter: {
      Value* base = load_member(ir_.getInt64Ty(), offsetof(Warp, parameters));
      return splat(ir_.CreateAdd(base, ir_.getInt64(place->offset + offset)));
    }
    case Place::Kind::symbol:
      break;
  }
  Value* table = load_member(ir_.getPtrTy(), offsetof(Warp, symbols));
  Value* entry = ir_.CreateConstInBoundsGEP1_64(ir_.getInt64Ty(), table, place->offset);
  return splat(ir_.CreateAdd(ir_.CreateLoad(ir_.getInt64Ty(), entry), ir_.getInt64(offset)));
}

Emitter::Value* Emitter::address(const Operand& operand) {
  if (operand.kind != Operand::Kind::address) reject(instruction(), "an address must be here");
  if (!operand.elements.empty()) refuse(instruction(), "tensor coordinates are not supported");
  if (!operand.has_reg) {
    return operand.text.empty() ? splat(0, 64) : symbol_address(operand);
  }
  Value* base = read_register(operand.reg);
  const unsigned bits = base->getType()->getScalarSizeInBits();
  if (graph_.registers[operand.reg].type == Type::pred || bits < 32 || bits > 64) {
    reject(instruction(), graph_.registers[operand.reg].name + " cannot hold an address");
  }
  require_register(operand.reg, Use::address, false);
  return bits == 64 ? base : ir_.CreateZExt(base, lanes(64));
}

}  // namespace octavo::emulator::lower
