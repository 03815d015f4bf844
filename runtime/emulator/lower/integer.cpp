// Integer instructions of their own opcodes: carries, mul24, sad, dot products.
#include <llvm/IR/Intrinsics.h>

#include "lower/emitter.hpp"
#include "lower/families.hpp"

namespace octavo::emulator::lower {

using llvm::Value;
using ptx::Type;

namespace {

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

void lower_addc(Emitter& e, const Step&) {
  const unsigned bits = bits_of(e.instruction().type());
  add_with_carry(e, e.source(1, bits), e.source(2, bits), bits);
}

void lower_subc(Emitter& e, const Step&) {
  auto& ir = e.ir();
  const unsigned bits = bits_of(e.instruction().type());
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
  auto& ir = e.ir();
  const Type type = e.instruction().type();
  const unsigned bits = bits_of(type);
  Value* a = e.source(1, bits);
  Value* b = e.source(2, bits);
  Value* product = nullptr;
  if (e.instruction().has("lo")) {
    product = ir.CreateMul(a, b);
  } else if (bits == 64) {
    Value* result = e.room(64);
    e.call(is_signed(type) ? "octavo_mulhi_s64" : "octavo_mulhi_u64",
           {result, e.spill(a), e.spill(b)});
    product = e.fetch(result, 64);
  } else {
    auto* wide = e.lanes(64);
    Value* x = is_signed(type) ? ir.CreateSExt(a, wide) : ir.CreateZExt(a, wide);
    Value* y = is_signed(type) ? ir.CreateSExt(b, wide) : ir.CreateZExt(b, wide);
    product = ir.CreateTrunc(ir.CreateLShr(ir.CreateMul(x, y), e.splat(32, 64)), e.lanes(32));
  }
  add_with_carry(e, product, e.source(3, bits), bits);
}

void lower_mul24(Emitter& e, const Step&) {
  auto& ir = e.ir();
  const bool is_signed_type = is_signed(e.instruction().type());
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
  const Type type = e.instruction().type();
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
