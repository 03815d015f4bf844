// mov with its packing and unpacking, cvta, isspacep, and what needs nothing done.
#include <cstddef>

#include "execute/warp.hpp"
#include "lower/emitter.hpp"
#include "lower/families.hpp"

namespace octavo::emulator::lower {
namespace {

using llvm::Value;
using ptx::Operand;
using ptx::Type;

// {a, b, ..}: the first element lowest.
Value* pack(Emitter& e, const Operand& vector, unsigned bits) {
  auto& ir = e.ir();
  const auto count = static_cast<unsigned>(vector.elements.size());
  if (count == 0 || bits % count != 0)
    reject(e.instruction(), "the vector does not fill the destination");
  const unsigned part = bits / count;
  Value* result = nullptr;
  for (unsigned i = 0; i < count; ++i) {
    Value* element = ir.CreateZExt(e.source(vector.elements[i], part), e.lanes(bits));
    Value* moved = ir.CreateShl(element, llvm::ConstantInt::get(e.lanes(bits), i * part));
    result = result == nullptr ? moved : ir.CreateOr(result, moved);
  }
  e.set_undefined_of_pack(vector.elements);
  return result;
}

void unpack(Emitter& e, const Operand& vector, Value* value) {
  auto& ir = e.ir();
  const unsigned bits = value->getType()->getScalarSizeInBits();
  const auto count = static_cast<unsigned>(vector.elements.size());
  if (count == 0 || bits % count != 0)
    reject(e.instruction(), "the vector does not hold the source");
  const unsigned part = bits / count;
  std::vector<Value*> parts;
  for (unsigned i = 0; i < count; ++i) {
    Value* moved = ir.CreateLShr(value, llvm::ConstantInt::get(e.lanes(bits), i * part));
    parts.push_back(ir.CreateTrunc(moved, e.lanes(part)));
  }
  for (unsigned i = 0; i < count; ++i) e.write(vector.elements[i], parts[i]);
}

}  // namespace

void lower_mov(Emitter& e, const Step&) {
  const Type type = type_of(e);
  const Operand& to = e.instruction().operands[0];
  const Operand& from = e.instruction().operands[1];
  if (type == Type::pred) return e.write(to, e.source_predicate(from));
  const unsigned bits = bits_of(type);
  Value* value = from.kind == Operand::Kind::vector ? pack(e, from, bits) : e.source(from, bits);
  if (to.kind == Operand::Kind::vector) return unpack(e, to, value);
  e.write(to, value);
}

namespace {

bool is_shared(const ptx::Instruction& instruction) {
  return instruction.has("shared") || instruction.has("shared::cta");
}

}  // namespace

void lower_cvta(Emitter& e, const Step&) {
  auto& ir = e.ir();
  const unsigned bits = bits_of(e.instruction().type());
  const Operand& from = e.instruction().operands[1];
  Value* value = e.source(from, bits);
  const bool shared = is_shared(e.instruction()) || e.instruction().has("shared::cluster");
  if (shared || e.instruction().has("local")) {
    if (bits != 64) refuse(e.instruction(), "only 64-bit generic addresses are supported");
    Value* base;
    if (shared) {
      base = e.splat(e.load_member(ir.getInt64Ty(), offsetof(Warp, shared)));
    } else {
      Value* result = e.room(64);
      e.call("octavo_local_base", {e.warp(), result});
      base = e.fetch(result, 64);
    }
    value = e.instruction().has("to") ? ir.CreateSub(value, base) : ir.CreateAdd(value, base);
  }
  e.write(0u, value);
}

void lower_isspacep(Emitter& e, const Step&) {
  const auto& instruction = e.instruction();
  std::uint32_t space = 0;
  if (is_shared(instruction))
    space = 1;
  else if (instruction.has("shared::cluster"))
    space = 2;
  else if (instruction.has("local"))
    space = 3;
  else if (instruction.has("const"))
    space = 4;
  else if (instruction.has("param") || instruction.has("param::entry"))
    space = 5;
  else if (!instruction.has("global"))
    refuse(instruction, "this state space is not supported");
  Value* result = e.room(32);
  e.call("octavo_is_space", {e.warp(), result, e.spill(e.source(1, 64)), e.number(space)});
  e.write(0u, e.fetch(result, 32));
}

void lower_nothing(Emitter&, const Step&) {}

// A cache policy changes nothing that a program can see.
void lower_createpolicy(Emitter& e, const Step&) { e.write(0u, e.splat(0, 64)); }

}  // namespace octavo::emulator::lower
