// Arithmetic whose opcode spans integers and floats: add, sub, mul, mad, fma, div, abs, neg, min,
// max.
#include <llvm/IR/Intrinsics.h>

#include "lower/families.hpp"
#include "lower/integer.hpp"
#include "lower/numbers.hpp"

namespace octavo::emulator::lower {
namespace {

using llvm::Value;
using ptx::Type;

// --- f32 and f64

Value* read_float(Emitter& e, std::size_t i, Type type) {
  Value* value;
  if (type == Type::f32x2) {
    auto* pairs = llvm::FixedVectorType::get(e.ir().getFloatTy(), 2 * kLanes);
    value = e.ir().CreateBitCast(e.source(i, 64), pairs);
  } else {
    value = e.source_float(i, type, !e.instruction().has("xorsign"));
  }
  if (e.instruction().operands[i].negated) value = e.ir().CreateFNeg(value);
  return type != Type::f64 && e.instruction().has("ftz") ? flush_subnormals(e, value) : value;
}

void write_float(Emitter& e, Value* value, Type type) {
  if (e.instruction().has("sat")) value = saturate_to_one(e, value);
  if (type == Type::f64) return e.write(0u, value);
  if (e.instruction().has("ftz")) value = flush_subnormals(e, value);
  if (type == Type::f32) return e.write_any_nan(0, value);
  e.write(0u, e.ir().CreateBitCast(canonical_nan(e, value), e.lanes(64)));
}

// In a direction other than to nearest.
Value* directed(Emitter& e, const char* operation, Type type,
                std::initializer_list<Value*> operands) {
  if (type == Type::f32x2) refuse(e.instruction(), "this rounding is not supported for pairs");
  std::vector<Value*> values;
  for (Value* value : operands) values.push_back(e.as_bits(value));
  while (values.size() < 3) values.push_back(values[0]);
  const unsigned bits = bits_of(type);
  Value* result = e.room(bits);
  e.call(std::string("octavo_") + operation + (type == Type::f32 ? "_f32" : "_f64"),
         {result, e.spill(values[0]), e.spill(values[1]), e.spill(values[2]),
          e.number(rounding_of(e.instruction()))});
  return e.as_float(e.fetch(result, bits), type);
}

enum class Operation { add, sub, mul, div };

void lower_float(Emitter& e, Operation operation, Type type) {
  auto& ir = e.ir();
  Value* a = read_float(e, 1, type);
  Value* b = read_float(e, 2, type);
  Value* result = nullptr;
  if (rounding_of(e.instruction()) != 0) {
    if (operation == Operation::sub) b = ir.CreateFNeg(b);
    const char* name = operation == Operation::mul   ? "mul"
                       : operation == Operation::div ? "div"
                                                     : "add";
    result = directed(e, name, type, {a, b});
  } else if (operation == Operation::add) {
    result = ir.CreateFAdd(a, b);
  } else if (operation == Operation::sub) {
    result = ir.CreateFSub(a, b);
  } else if (operation == Operation::mul) {
    result = ir.CreateFMul(a, b);
  } else {
    result = ir.CreateFDiv(a, b);
  }
  write_float(e, result, type);
}

// --- f16 and bf16, by way of f32: for add, sub and mul of f16 and add and sub of bf16, rounding
// twice
// --- is rounding once, because f32 has more than twice their digits and two.

Value* flush_half(Emitter& e, Value* f32, Type type) {
  if (is_bf16(type) || !e.instruction().has("ftz")) return f32;
  auto& ir = e.ir();
  Value* magnitude = ir.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, f32);
  Value* small = ir.CreateFCmpOLT(magnitude, llvm::ConstantFP::get(f32->getType(), 0x1p-14));
  Value* zero = ir.CreateBinaryIntrinsic(llvm::Intrinsic::copysign,
                                         llvm::Constant::getNullValue(f32->getType()), f32);
  return ir.CreateSelect(small, zero, f32);
}

// The sign bit of every element of the type's bits.
std::uint64_t sign_bits(Type type) {
  if (is_packed(type)) return 0x80008000u;
  return std::uint64_t{1} << (bits_of(type) - 1);
}

Value* half_bits(Emitter& e, std::size_t i, Type type) {
  const unsigned bits = bits_of(type);
  Value* value = e.source(i, bits);
  if (!e.instruction().operands[i].negated) return value;
  return e.ir().CreateXor(value, e.splat(sign_bits(type), bits));
}

Value* read_half(Emitter& e, std::size_t i, Type type) {
  return flush_half(e, widen_half(e, half_bits(e, i, type), type), type);
}

void finish_half(Emitter& e, Value* f32, Type type) {
  auto& ir = e.ir();
  if (e.instruction().has("sat")) f32 = saturate_to_one(e, f32);
  if (e.instruction().has("relu")) {
    Value* zero = llvm::Constant::getNullValue(f32->getType());
    f32 = ir.CreateSelect(ir.CreateFCmpOLE(f32, zero), zero, f32);
  }
  if (e.instruction().has("ftz"))
    f32 = flush_half(e, widen_half(e, narrow_half(e, f32, type), type), type);
  e.write(0u, narrow_half(e, f32, type));
}

// The exact sum x + y rounded to odd in f32, so that rounding it again is rounding once.
Value* add_to_odd(Emitter& e, Value* x, Value* y) {
  auto& ir = e.ir();
  Value* sum = ir.CreateFAdd(x, y);
  Value* back = ir.CreateFSub(sum, x);
  Value* error = ir.CreateFAdd(ir.CreateFSub(x, ir.CreateFSub(sum, back)), ir.CreateFSub(y, back));
  auto* integers = like(sum, ir.getInt32Ty());
  Value* zero = llvm::Constant::getNullValue(sum->getType());
  Value* bits = ir.CreateBitCast(sum, integers);
  Value* even = ir.CreateICmpEQ(ir.CreateAnd(bits, llvm::ConstantInt::get(integers, 1)),
                                llvm::Constant::getNullValue(integers));
  // An ordered comparison: infinities and NaNs have a NaN for their error and stay as they are.
  Value* inexact = ir.CreateAnd(ir.CreateFCmpONE(error, zero), even);
  Value* outward = ir.CreateXor(ir.CreateFCmpOGT(error, zero), ir.CreateFCmpOLT(sum, zero));
  Value* step = ir.CreateSelect(outward, llvm::ConstantInt::get(integers, 1),
                                llvm::ConstantInt::getSigned(integers, -1));
  Value* odd = ir.CreateAdd(bits, step);
  return ir.CreateBitCast(ir.CreateSelect(inexact, odd, bits), sum->getType());
}

Value* fma_bf16(Emitter& e, Type type, Value* a, Value* b, Value* c) {
  const unsigned bits = bits_of(type);
  Value* result = e.room(bits);
  e.call("octavo_fma_bf16",
         {result, e.spill(a), e.spill(b), e.spill(c), e.number(is_packed(type) ? 64 : 32)});
  return e.fetch(result, bits);
}

void finish_bf16(Emitter& e, Value* bits, Type type) {
  const auto& instruction = e.instruction();
  if (!instruction.has("sat") && !instruction.has("relu")) return e.write(0u, bits);
  finish_half(e, widen_half(e, bits, type), type);
}

void lower_half(Emitter& e, Operation operation, Type type) {
  auto& ir = e.ir();
  if (is_bf16(type) && operation == Operation::mul) {
    const unsigned bits = bits_of(type);
    Value* minus_zero = e.splat(is_packed(type) ? 0x80008000u : 0x8000u, bits);
    return finish_bf16(e, fma_bf16(e, type, e.source(1, bits), e.source(2, bits), minus_zero),
                       type);
  }
  Value* a = read_half(e, 1, type);
  Value* b = read_half(e, 2, type);
  finish_half(e,
              operation == Operation::add   ? ir.CreateFAdd(a, b)
              : operation == Operation::sub ? ir.CreateFSub(a, b)
                                            : ir.CreateFMul(a, b),
              type);
}

}  // namespace

void lower_add(Emitter& e, const Step&) {
  const Type type = type_of(e);
  if (is_half(type)) return lower_half(e, Operation::add, type);
  if (is_float(type) || type == Type::f32x2) return lower_float(e, Operation::add, type);
  add_integers(e, type, false);
}

void lower_sub(Emitter& e, const Step&) {
  const Type type = type_of(e);
  if (is_half(type)) return lower_half(e, Operation::sub, type);
  if (is_float(type) || type == Type::f32x2) return lower_float(e, Operation::sub, type);
  add_integers(e, type, true);
}

void lower_mul(Emitter& e, const Step&) {
  const Type type = type_of(e);
  if (is_half(type)) return lower_half(e, Operation::mul, type);
  if (is_float(type) || type == Type::f32x2) return lower_float(e, Operation::mul, type);
  multiply_integers(e, type);
}

void lower_fma(Emitter& e, const Step&) {
  auto& ir = e.ir();
  const Type type = type_of(e);
  if (is_bf16(type)) {
    return finish_bf16(
        e, fma_bf16(e, type, half_bits(e, 1, type), half_bits(e, 2, type), half_bits(e, 3, type)),
        type);
  }
  if (is_half(type)) {
    // The product of two f16 is exact in f32.
    Value* exact = ir.CreateFMul(read_half(e, 1, type), read_half(e, 2, type));
    return finish_half(e, add_to_odd(e, exact, read_half(e, 3, type)), type);
  }
  Value* a = read_float(e, 1, type);
  Value* b = read_float(e, 2, type);
  Value* c = read_float(e, 3, type);
  Value* result = rounding_of(e.instruction()) != 0
                      ? directed(e, "fma", type, {a, b, c})
                      : ir.CreateIntrinsic(llvm::Intrinsic::fma, {a->getType()}, {a, b, c});
  write_float(e, result, type);
}

void lower_mad(Emitter& e, const Step& step) {
  const Type type = type_of(e);
  if (is_float(type)) return lower_fma(e, step);
  multiply_add_integers(e, type);
}

void lower_div(Emitter& e, const Step& step) {
  const Type type = type_of(e);
  if (!is_float(type)) return divide_integers(e, type, "div");
  if (e.instruction().has("approx") || e.instruction().has("full"))
    return lower_approximate_div(e, step);
  lower_float(e, Operation::div, type);
}

namespace {

Value* flushed_bits(Emitter& e, std::size_t i, Type type) {
  if (!e.instruction().has("ftz")) return e.source(i, bits_of(type));
  if (type == Type::f32) return e.as_bits(flush_subnormals(e, e.source_float(i, type)));
  return narrow_half(e, read_half(e, i, type), type);
}

}  // namespace

void lower_abs(Emitter& e, const Step&) {
  const Type type = type_of(e);
  if (!is_float(type) && !is_packed(type)) {
    Value* value = e.source(1, bits_of(type));
    return e.write(0u,
                   e.ir().CreateBinaryIntrinsic(llvm::Intrinsic::abs, value, e.ir().getFalse()));
  }
  e.write(0u, e.ir().CreateAnd(flushed_bits(e, 1, type), e.splat(~sign_bits(type), bits_of(type))));
}

void lower_neg(Emitter& e, const Step&) {
  const Type type = type_of(e);
  if (!is_float(type) && !is_packed(type))
    return e.write(0u, e.ir().CreateNeg(e.source(1, bits_of(type))));
  e.write(0u, e.ir().CreateXor(flushed_bits(e, 1, type), e.splat(sign_bits(type), bits_of(type))));
}

namespace {

Value* pick(Emitter& e, Value* a, Value* b, bool least) {
  const bool nan = e.instruction().has("NaN");
  if (!e.instruction().has("xorsign")) return least ? minimum(e, a, b, nan) : maximum(e, a, b, nan);
  auto& ir = e.ir();
  Value* x = ir.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, a);
  Value* y = ir.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, b);
  Value* magnitude = least ? minimum(e, x, y, nan) : maximum(e, x, y, nan);
  auto* bits = like(a, ir.getIntNTy(a->getType()->getScalarSizeInBits()));
  Value* signs = ir.CreateXor(ir.CreateBitCast(a, bits), ir.CreateBitCast(b, bits));
  return ir.CreateBinaryIntrinsic(llvm::Intrinsic::copysign, magnitude,
                                  ir.CreateBitCast(signs, a->getType()));
}

void lower_extremum(Emitter& e, bool least) {
  const Type type = type_of(e);
  const bool three = e.instruction().operands.size() == 4;
  if (is_half(type)) {
    Value* value = pick(e, read_half(e, 1, type), read_half(e, 2, type), least);
    if (three) value = pick(e, value, read_half(e, 3, type), least);
    return finish_half(e, value, type);
  }
  if (is_float(type)) {
    Value* value = pick(e, read_float(e, 1, type), read_float(e, 2, type), least);
    if (three) value = pick(e, value, read_float(e, 3, type), least);
    return e.write(0u, value);
  }
  if (three) reject(e.instruction(), "has too many operands");
  integer_extremum(e, type, least);
}

}  // namespace

void lower_min(Emitter& e, const Step&) { lower_extremum(e, true); }
void lower_max(Emitter& e, const Step&) { lower_extremum(e, false); }

}  // namespace octavo::emulator::lower
