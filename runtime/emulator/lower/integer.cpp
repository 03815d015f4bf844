// Arithmetic of integers: what opcodes that floats have too do of it, and opcodes of its own.
#include "lower/integer.hpp"

#include <llvm/IR/Intrinsics.h>

#include "lower/families.hpp"

namespace octavo::emulator::lower {

using llvm::Value;
using ptx::Type;

namespace {

bool is_pair(Type type) { return type == Type::u16x2 || type == Type::s16x2; }

// Operand i as 64 integers of 16 bits.
Value* halves(Emitter& e, std::size_t i) {
  auto* type = llvm::FixedVectorType::get(e.ir().getInt16Ty(), 2 * kLanes);
  return e.ir().CreateBitCast(e.source(i, 32), type);
}

void write_halves(Emitter& e, Value* value) {
  e.write(0u, e.ir().CreateBitCast(value, e.lanes(32)));
}

// The .lo, .hi or .wide product of the first two sources.
Value* product(Emitter& e, Type type) {
  auto& ir = e.ir();
  const unsigned bits = bits_of(type);
  Value* a = e.source(1, bits);
  Value* b = e.source(2, bits);
  if (e.instruction().has("lo")) return ir.CreateMul(a, b);
  if (!e.instruction().has("hi") && !e.instruction().has("wide")) {
    reject(e.instruction(), "needs .lo, .hi or .wide");
  }
  if (bits == 64) {
    if (e.instruction().has("wide"))
      reject(e.instruction(), "there is no .wide product of 64 bits");
    Value* result = e.room(64);
    e.call(is_signed(type) ? "octavo_mulhi_s64" : "octavo_mulhi_u64",
           {result, e.spill(a), e.spill(b)});
    return e.fetch(result, 64);
  }
  auto* wide = e.lanes(2 * bits);
  const auto extend = [&](Value* v) {
    return is_signed(type) ? ir.CreateSExt(v, wide) : ir.CreateZExt(v, wide);
  };
  Value* result = ir.CreateMul(extend(a), extend(b));
  if (e.instruction().has("wide")) return result;
  return ir.CreateTrunc(ir.CreateLShr(result, e.splat(bits, 2 * bits)), e.lanes(bits));
}

Value* carry_in(Emitter& e, unsigned bits) {
  ptx::Operand carry;
  carry.kind = ptx::Operand::Kind::reg;
  carry.reg = kCarry;
  return e.ir().CreateZExtOrTrunc(e.ir().CreateLShr(e.source_predicate(carry), e.splat(31, 32)),
                                  e.lanes(bits));
}

// a + b + carry, and the carry out if it is asked for.
void add_with_carry(Emitter& e, Value* a, Value* b, unsigned bits) {
  auto& ir = e.ir();
  Value* partial = ir.CreateAdd(a, b);
  Value* sum = ir.CreateAdd(partial, carry_in(e, bits));
  if (e.instruction().has("cc")) {
    Value* out = ir.CreateOr(ir.CreateICmpULT(partial, a), ir.CreateICmpULT(sum, partial));
    e.write_register(kCarry, e.predicate(out));
  }
  e.write(0u, sum);
}

}  // namespace

void add_integers(Emitter& e, Type type, bool subtract) {
  auto& ir = e.ir();
  if (is_pair(type)) return write_halves(e, ir.CreateAdd(halves(e, 1), halves(e, 2)));
  if (e.instruction().has("sat")) {
    const auto id = subtract ? llvm::Intrinsic::ssub_sat : llvm::Intrinsic::sadd_sat;
    return e.write(0u, ir.CreateBinaryIntrinsic(id, e.source(1, 32), e.source(2, 32)));
  }
  Value* a = e.source(1, bits_of(type));
  Value* b = e.source(2, bits_of(type));
  Value* result = subtract ? ir.CreateSub(a, b) : ir.CreateAdd(a, b);
  if (e.instruction().has("cc")) {
    e.write_register(kCarry,
                     e.predicate(subtract ? ir.CreateICmpULT(a, b) : ir.CreateICmpULT(result, a)));
  }
  e.write(0u, result);
}

void multiply_integers(Emitter& e, Type type) { e.write(0u, product(e, type)); }

void multiply_add_integers(Emitter& e, Type type) {
  auto& ir = e.ir();
  Value* a_times_b = product(e, type);
  Value* c = e.source(3, a_times_b->getType()->getScalarSizeInBits());
  if (e.instruction().has("sat")) {
    return e.write(0u, ir.CreateBinaryIntrinsic(llvm::Intrinsic::sadd_sat, a_times_b, c));
  }
  Value* sum = ir.CreateAdd(a_times_b, c);
  if (e.instruction().has("cc")) e.write_register(kCarry, e.predicate(ir.CreateICmpULT(sum, c)));
  e.write(0u, sum);
}

void divide_integers(Emitter& e, Type type, const char* operation) {
  auto& ir = e.ir();
  const unsigned bits = bits_of(type), wide = bits < 32 ? 32 : bits;
  const auto extend = [&](Value* v) {
    return is_signed(type) ? ir.CreateSExt(v, e.lanes(wide)) : ir.CreateZExt(v, e.lanes(wide));
  };
  Value* a = extend(e.source(1, bits));
  Value* b = extend(e.source(2, bits));
  Value* result = e.room(wide);
  e.mark_line();
  const std::string suffix =
      std::string(is_signed(type) ? "_s" : "_u") + (wide == 32 ? "32" : "64");
  e.call(std::string("octavo_") + operation + suffix,
         {e.warp(), e.mask(), result, e.spill(a), e.spill(b)});
  e.write(0u, ir.CreateTrunc(e.fetch(result, wide), e.lanes(bits)));
}

void integer_extremum(Emitter& e, Type type, bool least) {
  const bool pair = is_pair(type);
  const bool compares_signed = is_signed(type) || type == Type::s16x2;
  const auto id = compares_signed ? (least ? llvm::Intrinsic::smin : llvm::Intrinsic::smax)
                                  : (least ? llvm::Intrinsic::umin : llvm::Intrinsic::umax);
  const auto operand = [&](std::size_t i) {
    return pair ? halves(e, i) : e.source(i, bits_of(type));
  };
  Value* value = e.ir().CreateBinaryIntrinsic(id, operand(1), operand(2));
  if (e.instruction().has("relu")) {
    value = e.ir().CreateBinaryIntrinsic(llvm::Intrinsic::smax, value,
                                         llvm::Constant::getNullValue(value->getType()));
  }
  if (pair) return write_halves(e, value);
  e.write(0u, value);
}

void lower_rem(Emitter& e, const Step&) { divide_integers(e, type_of(e), "rem"); }

void lower_addc(Emitter& e, const Step&) {
  const unsigned bits = bits_of(type_of(e));
  add_with_carry(e, e.source(1, bits), e.source(2, bits), bits);
}

void lower_subc(Emitter& e, const Step&) {
  auto& ir = e.ir();
  const unsigned bits = bits_of(type_of(e));
  Value* a = e.source(1, bits);
  Value* b = e.source(2, bits);
  Value* partial = ir.CreateSub(a, b);
  Value* borrow = carry_in(e, bits);
  if (e.instruction().has("cc")) {
    Value* out = ir.CreateOr(ir.CreateICmpULT(a, b), ir.CreateICmpULT(partial, borrow));
    e.write_register(kCarry, e.predicate(out));
  }
  e.write(0u, ir.CreateSub(partial, borrow));
}

void lower_madc(Emitter& e, const Step&) {
  const Type type = type_of(e);
  const unsigned bits = bits_of(type);
  add_with_carry(e, product(e, type), e.source(3, bits), bits);
}

void lower_mul24(Emitter& e, const Step&) {
  auto& ir = e.ir();
  const bool is_signed_type = is_signed(type_of(e));
  const auto operand = [&](std::size_t i) {
    Value* high = ir.CreateShl(e.source(i, 32), e.splat(8, 32));
    Value* value =
        is_signed_type ? ir.CreateAShr(high, e.splat(8, 32)) : ir.CreateLShr(high, e.splat(8, 32));
    return is_signed_type ? ir.CreateSExt(value, e.lanes(64)) : ir.CreateZExt(value, e.lanes(64));
  };
  Value* product = ir.CreateMul(operand(1), operand(2));
  if (e.instruction().has("hi")) product = ir.CreateLShr(product, e.splat(16, 64));
  Value* result = ir.CreateTrunc(product, e.lanes(32));
  if (e.instruction().opcode == "mad24") {
    Value* c = e.source(3, 32);
    result = e.instruction().has("sat")
                 ? ir.CreateBinaryIntrinsic(llvm::Intrinsic::sadd_sat, result, c)
                 : ir.CreateAdd(result, c);
  }
  e.write(0u, result);
}

void lower_sad(Emitter& e, const Step&) {
  auto& ir = e.ir();
  const Type type = type_of(e);
  const unsigned bits = bits_of(type);
  Value* a = e.source(1, bits);
  Value* b = e.source(2, bits);
  Value* less = is_signed(type) ? ir.CreateICmpSLT(a, b) : ir.CreateICmpULT(a, b);
  Value* difference = ir.CreateSelect(less, ir.CreateSub(b, a), ir.CreateSub(a, b));
  e.write(0u, ir.CreateAdd(difference, e.source(3, bits)));
}

// Of each byte or half of a and b, side by side; with .add their sum and c.
void lower_vabsdiff(Emitter& e, const Step&) {
  auto& ir = e.ir();
  const auto& instruction = e.instruction();
  const unsigned count = instruction.opcode == "vabsdiff4" ? 4 : 2, width = 32 / count;
  const auto part = [&](std::size_t i, unsigned p) {
    Value* up = ir.CreateShl(e.source(i, 32), e.splat(32 - width * (p + 1), 32));
    Value* shift = e.splat(32 - width, 32);
    return is_signed(instruction.type(i)) ? ir.CreateAShr(up, shift) : ir.CreateLShr(up, shift);
  };
  const bool adds = instruction.has("add");
  Value* result = adds ? e.source(3, 32) : e.splat(0, 32);
  for (unsigned p = 0; p < count; ++p) {
    Value* difference = ir.CreateBinaryIntrinsic(
        llvm::Intrinsic::abs, ir.CreateSub(part(1, p), part(2, p)), ir.getFalse());
    result = adds ? ir.CreateAdd(result, difference)
                  : ir.CreateOr(result, ir.CreateShl(difference, e.splat(width * p, 32)));
  }
  e.write(0u, result);
}

void lower_dp4a(Emitter& e, const Step&) {
  Value* result = e.room(32);
  const auto sign = [&](std::size_t i) {
    return e.number(is_signed(e.instruction().type(i)) ? 1 : 0);
  };
  e.call("octavo_dp4a", {result, e.spill(e.source(1, 32)), e.spill(e.source(2, 32)),
                         e.spill(e.source(3, 32)), sign(0), sign(1)});
  e.write(0u, e.fetch(result, 32));
}

void lower_dp2a(Emitter& e, const Step&) {
  Value* result = e.room(32);
  const auto sign = [&](std::size_t i) {
    return e.number(is_signed(e.instruction().type(i)) ? 1 : 0);
  };
  e.call("octavo_dp2a",
         {result, e.spill(e.source(1, 32)), e.spill(e.source(2, 32)), e.spill(e.source(3, 32)),
          sign(0), sign(1), e.number(e.instruction().has("hi") ? 1 : 0)});
  e.write(0u, e.fetch(result, 32));
}

}  // namespace octavo::emulator::lower
