#include "lower/numbers.hpp"

#include <llvm/IR/Intrinsics.h>

namespace octavo::emulator::lower {

using llvm::Value;
using ptx::Type;

std::uint32_t rounding_of(const ptx::Instruction& instruction) {
  if (instruction.has("rz")) return 1;
  if (instruction.has("rm")) return 2;
  return instruction.has("rp") ? 3 : 0;
}

llvm::FixedVectorType* like(Value* value, llvm::Type* element) {
  return llvm::FixedVectorType::get(
      element, llvm::cast<llvm::FixedVectorType>(value->getType())->getNumElements());
}

namespace {

Value* constant(Value* shape, std::uint64_t bits) {
  const unsigned width = shape->getType()->getScalarSizeInBits();
  auto* element = llvm::Type::getIntNTy(shape->getContext(), width);
  return llvm::ConstantInt::get(like(shape, element), bits);
}

Value* to_bits(Emitter& e, Value* value) {
  auto* element = e.ir().getIntNTy(value->getType()->getScalarSizeInBits());
  return e.ir().CreateBitCast(value, like(value, element));
}

Value* is_nan(Emitter& e, Value* value) { return e.ir().CreateFCmpUNO(value, value); }

}  // namespace

Value* flush_subnormals(Emitter& e, Value* f32) {
  auto& ir = e.ir();
  Value* bits = to_bits(e, f32);
  Value* small = ir.CreateICmpEQ(ir.CreateAnd(bits, constant(bits, 0x7F800000)), constant(bits, 0));
  Value* zero = ir.CreateAnd(bits, constant(bits, 0x80000000));
  return ir.CreateBitCast(ir.CreateSelect(small, zero, bits), f32->getType());
}

Value* canonical_nan(Emitter& e, Value* f32) {
  auto& ir = e.ir();
  Value* nan = ir.CreateBitCast(constant(f32, 0x7FFFFFFF), f32->getType());
  return ir.CreateSelect(is_nan(e, f32), nan, f32);
}

Value* saturate_to_one(Emitter& e, Value* value) {
  auto& ir = e.ir();
  Value* zero = llvm::Constant::getNullValue(value->getType());
  Value* one = llvm::ConstantFP::get(value->getType(), 1.0);
  value = ir.CreateSelect(ir.CreateFCmpOGT(value, zero), value, zero);  // NaN and -0 too
  return ir.CreateSelect(ir.CreateFCmpOLT(value, one), value, one);
}

namespace {

// One of a and b; zeros count as ordered, -0 below +0.
Value* choose(Emitter& e, Value* a, Value* b, bool lesser, bool propagate_nan) {
  auto& ir = e.ir();
  Value* first = lesser ? ir.CreateFCmpOLT(a, b) : ir.CreateFCmpOGT(a, b);
  Value* result = ir.CreateSelect(first, a, b);
  // Equal numbers differ at most in a zero's sign.
  Value* a_bits = to_bits(e, a);
  Value* b_bits = to_bits(e, b);
  Value* joined = lesser ? ir.CreateOr(a_bits, b_bits) : ir.CreateAnd(a_bits, b_bits);
  result = ir.CreateSelect(ir.CreateFCmpOEQ(a, b), ir.CreateBitCast(joined, a->getType()), result);
  // So far a NaN in a gives b, and one in b gives b.
  result = propagate_nan ? ir.CreateSelect(is_nan(e, a), a, result)
                         : ir.CreateSelect(is_nan(e, b), a, result);
  return a->getType()->getScalarSizeInBits() == 32 ? canonical_nan(e, result) : result;
}

}  // namespace

Value* minimum(Emitter& e, Value* a, Value* b, bool propagate_nan) {
  return choose(e, a, b, true, propagate_nan);
}

Value* maximum(Emitter& e, Value* a, Value* b, bool propagate_nan) {
  return choose(e, a, b, false, propagate_nan);
}

bool is_packed(Type type) { return type == Type::f16x2 || type == Type::bf16x2; }
bool is_bf16(Type type) { return type == Type::bf16 || type == Type::bf16x2; }
bool is_half(Type type) { return is_packed(type) || type == Type::f16 || type == Type::bf16; }

Value* widen_half(Emitter& e, Value* bits, Type type) {
  auto& ir = e.ir();
  if (is_packed(type)) {
    bits = ir.CreateBitCast(bits, llvm::FixedVectorType::get(ir.getInt16Ty(), 2 * kLanes));
  }
  if (is_bf16(type)) {
    Value* wide = ir.CreateZExt(bits, like(bits, ir.getInt32Ty()));
    return ir.CreateBitCast(ir.CreateShl(wide, constant(wide, 16)), like(bits, ir.getFloatTy()));
  }
  Value* halves = ir.CreateBitCast(bits, like(bits, ir.getHalfTy()));
  return ir.CreateFPExt(halves, like(bits, ir.getFloatTy()));
}

Value* narrow_half(Emitter& e, Value* f32, Type type) {
  auto& ir = e.ir();
  Value* bits;
  if (is_bf16(type)) {
    Value* wide = to_bits(e, f32);
    Value* odd = ir.CreateAnd(ir.CreateLShr(wide, constant(wide, 16)), constant(wide, 1));
    Value* rounded = ir.CreateAdd(wide, ir.CreateAdd(odd, constant(wide, 0x7FFF)));
    bits = ir.CreateTrunc(ir.CreateLShr(rounded, constant(wide, 16)), like(f32, ir.getInt16Ty()));
  } else {
    bits = to_bits(e, ir.CreateFPTrunc(f32, like(f32, ir.getHalfTy())));
  }
  bits = ir.CreateSelect(is_nan(e, f32), constant(bits, 0x7FFF), bits);
  return is_packed(type) ? ir.CreateBitCast(bits, e.lanes(32)) : bits;
}

}  // namespace octavo::emulator::lower
