// Reciprocals, roots, the approximate special functions, and division by way of them.
#include <llvm/IR/Intrinsics.h>

#include "lower/families.hpp"
#include "lower/numbers.hpp"
#include "tensor_core/special.hpp"

namespace octavo::emulator::lower {
namespace {

using llvm::Value;
using ptx::Type;

Value* special(Emitter& e, const std::string& opcode, Value* f32) {
  if (tensor_core::find_special(opcode) == nullptr) {
    refuse(e.instruction(), "special function " + opcode + " is not supported");
  }
  Value* result = e.room(32);
  e.call(opcode, {result, e.spill(e.as_bits(f32))});
  return e.as_float(e.fetch(result, 32), Type::f32);
}

// The ISA's approximation of an f64: its upper half alone is computed.
void write_upper_half(Emitter& e, Value* f64) {
  e.write(0u, e.ir().CreateAnd(e.as_bits(f64), e.splat(0xFFFFFFFF00000000ull, 64)));
}

Value* flush_f64(Emitter& e, Value* f64) {
  auto& ir = e.ir();
  Value* magnitude = ir.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, f64);
  Value* small = ir.CreateFCmpOLT(magnitude, llvm::ConstantFP::get(f64->getType(), 0x1p-1022));
  Value* zero = ir.CreateBinaryIntrinsic(llvm::Intrinsic::copysign,
                                         llvm::Constant::getNullValue(f64->getType()), f64);
  return ir.CreateSelect(small, zero, f64);
}

Value* root(Emitter& e, Value* x) { return e.ir().CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, x); }

Value* reciprocal(Emitter& e, Value* x) {
  return e.ir().CreateFDiv(llvm::ConstantFP::get(x->getType(), 1.0), x);
}

Value* read(Emitter& e, std::size_t i, Type type) {
  Value* x = e.source_float(i, type);
  return type == Type::f32 && e.instruction().has("ftz") ? flush_subnormals(e, x) : x;
}

void finish(Emitter& e, Value* value, Type type) {
  if (type == Type::f32) {
    if (e.instruction().has("ftz")) value = flush_subnormals(e, value);
    value = canonical_nan(e, value);
  }
  e.write(0u, value);
}

// In a direction other than to nearest.
Value* directed(Emitter& e, const std::string& name, Value* a, Value* b, Type type) {
  const unsigned bits = bits_of(type);
  Value* result = e.room(bits);
  Value* x = e.spill(e.as_bits(a));
  e.call(name, {result, x, e.spill(e.as_bits(b)), x, e.number(rounding_of(e.instruction()))});
  return e.as_float(e.fetch(result, bits), type);
}

}  // namespace

void lower_special(Emitter& e, const Step&) {
  const Type type = e.instruction().type();
  if (type == Type::f32)
    return e.write(0u, special(e, spelling(e.instruction()), e.source_float(1, type)));
  auto& ir = e.ir();
  Value* x = widen_half(e, e.source(1, bits_of(type)), type);
  const std::string opcode = e.instruction().opcode + ".approx" +
                             (e.instruction().has("ftz") ? ".ftz" : "") +
                             (is_bf16(type) ? ".bf16" : ".f16");
  if (!is_packed(type)) return e.write(0u, narrow_half(e, special(e, opcode, x), type));
  std::vector<int> even, odd, interleaved;
  for (int i = 0; i < static_cast<int>(kLanes); ++i) {
    even.push_back(2 * i);
    odd.push_back(2 * i + 1);
    interleaved.push_back(i);
    interleaved.push_back(i + static_cast<int>(kLanes));
  }
  Value* low = special(e, opcode, ir.CreateShuffleVector(x, even));
  Value* high = special(e, opcode, ir.CreateShuffleVector(x, odd));
  e.write(0u, narrow_half(e, ir.CreateShuffleVector(low, high, interleaved), type));
}

// As ptxas makes it for sm_90: a times b's reciprocal, which the unit flushes to zero for b above
// 2^126 and takes a subnormal b for a zero. Both are scaled away from that where .full and the lack
// of .ftz promise an answer.
void lower_approximate_div(Emitter& e, const Step&) {
  auto& ir = e.ir();
  Value* a = read(e, 1, Type::f32);
  Value* b = read(e, 2, Type::f32);
  const auto number = [&](double x) { return llvm::ConstantFP::get(b->getType(), x); };
  Value* magnitude = ir.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, b);
  Value* scale = number(1);
  if (e.instruction().has("full"))
    scale = ir.CreateSelect(ir.CreateFCmpOGT(magnitude, number(0x1p126)), number(0.25), scale);
  if (!e.instruction().has("ftz"))
    scale = ir.CreateSelect(ir.CreateFCmpOLT(magnitude, number(0x1p-126)), number(0x1p24), scale);
  a = ir.CreateFMul(a, scale);
  if (e.instruction().has("ftz")) a = flush_subnormals(e, a);
  Value* reciprocal = special(e, "rcp.approx.ftz.f32", ir.CreateFMul(b, scale));
  finish(e, ir.CreateFMul(a, reciprocal), Type::f32);
}

void lower_rcp(Emitter& e, const Step& step) {
  const Type type = e.instruction().type();
  if (type == Type::f32 && e.instruction().has("approx")) return lower_special(e, step);
  Value* x = read(e, 1, type);
  if (e.instruction().has("approx"))
    return write_upper_half(e, flush_f64(e, reciprocal(e, flush_f64(e, x))));
  if (rounding_of(e.instruction()) != 0) {
    Value* one = llvm::ConstantFP::get(x->getType(), 1.0);
    return finish(
        e, directed(e, type == Type::f32 ? "octavo_div_f32" : "octavo_div_f64", one, x, type),
        type);
  }
  finish(e, reciprocal(e, x), type);
}

void lower_sqrt(Emitter& e, const Step& step) {
  const Type type = e.instruction().type();
  if (e.instruction().has("approx")) return lower_special(e, step);
  Value* x = read(e, 1, type);
  if (rounding_of(e.instruction()) != 0) {
    return finish(
        e, directed(e, type == Type::f32 ? "octavo_sqrt_f32" : "octavo_sqrt_f64", x, x, type),
        type);
  }
  finish(e, root(e, x), type);
}

void lower_rsqrt(Emitter& e, const Step& step) {
  if (e.instruction().type() == Type::f32) return lower_special(e, step);
  write_upper_half(e, reciprocal(e, root(e, flush_f64(e, read(e, 1, Type::f64)))));
}

void lower_copysign(Emitter& e, const Step&) {
  const Type type = e.instruction().type();
  Value* sign = e.source_float(1, type);
  Value* magnitude = e.source_float(2, type);
  e.write(0u, e.ir().CreateBinaryIntrinsic(llvm::Intrinsic::copysign, magnitude, sign));
}

void lower_testp(Emitter& e, const Step&) {
  auto& ir = e.ir();
  const Type type = e.instruction().type();
  Value* x = e.source_float(1, type);
  Value* magnitude = ir.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, x);
  Value* infinity = llvm::ConstantFP::getInfinity(x->getType());
  Value* least = llvm::ConstantFP::get(x->getType(), type == Type::f32 ? 0x1p-126 : 0x1p-1022);
  Value* zero = llvm::Constant::getNullValue(x->getType());
  Value* finite = ir.CreateFCmpOLT(magnitude, infinity);
  Value* result = nullptr;
  if (e.instruction().has("finite")) result = finite;
  if (e.instruction().has("infinite")) result = ir.CreateFCmpOEQ(magnitude, infinity);
  if (e.instruction().has("number")) result = ir.CreateFCmpORD(x, x);
  if (e.instruction().has("notanumber")) result = ir.CreateFCmpUNO(x, x);
  if (e.instruction().has("normal"))
    result = ir.CreateAnd(finite, ir.CreateFCmpOGE(magnitude, least));
  if (e.instruction().has("subnormal")) {
    result = ir.CreateAnd(ir.CreateFCmpOLT(magnitude, least), ir.CreateFCmpOGT(magnitude, zero));
  }
  if (result == nullptr) reject(e.instruction(), "needs a property to test");
  e.write(0u, e.predicate(result));
}

}  // namespace octavo::emulator::lower
