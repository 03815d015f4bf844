// cvt, of every pair of types.
#include <llvm/IR/Intrinsics.h>

#include "lower/families.hpp"
#include "lower/numbers.hpp"

namespace octavo::emulator::lower {
namespace {

using llvm::Value;
using ptx::Type;

bool is_integer(Type type) { return type >= Type::u8 && type <= Type::s64; }

Value* relu_flag(Emitter& e) { return e.number(e.instruction().has("relu") ? 1 : 0); }

// Integers keep to the destination's range with .sat, else they wrap around.
Value* clamp(Emitter& e, Value* value, Type from, Type to) {
  auto& ir = e.ir();
  const unsigned bits = value->getType()->getScalarSizeInBits(), to_bits = bits_of(to);
  const auto id_min = is_signed(from) ? llvm::Intrinsic::smin : llvm::Intrinsic::umin;
  const std::uint64_t highest = is_signed(to)   ? (std::uint64_t{1} << (to_bits - 1)) - 1
                                : to_bits == 64 ? ~0ull
                                                : (std::uint64_t{1} << to_bits) - 1;
  const std::uint64_t largest = is_signed(from) ? (std::uint64_t{1} << (bits - 1)) - 1
                                : bits == 64    ? ~0ull
                                                : (std::uint64_t{1} << bits) - 1;
  if (highest < largest) value = ir.CreateBinaryIntrinsic(id_min, value, e.splat(highest, bits));
  if (!is_signed(from)) return value;
  if (!is_signed(to))
    return ir.CreateBinaryIntrinsic(llvm::Intrinsic::smax, value, e.splat(0, bits));
  if (to_bits >= bits) return value;
  const std::uint64_t lowest = ~std::uint64_t{0} << (to_bits - 1);
  return ir.CreateBinaryIntrinsic(llvm::Intrinsic::smax, value, e.splat(lowest, bits));
}

void integer_to_integer(Emitter& e, Type to, Type from) {
  auto& ir = e.ir();
  Value* value = e.source(1, bits_of(from), true);
  if (e.instruction().has("sat")) value = clamp(e, value, from, to);
  Value* result = is_signed(from) ? ir.CreateSExtOrTrunc(value, e.lanes(bits_of(to)))
                                  : ir.CreateZExtOrTrunc(value, e.lanes(bits_of(to)));
  e.write(0u, result, is_signed(to));
}

Value* converted(Emitter& e, const char* function, Value* value, unsigned to_bits,
                 std::uint32_t rounding) {
  Value* result = e.room(to_bits);
  e.call(function, {result, e.spill(e.as_bits(value)), e.number(rounding)});
  return e.fetch(result, to_bits);
}

// To f32 or f64 in the instruction's direction.
Value* integer_to_float(Emitter& e, Value* value, Type from, Type to) {
  auto& ir = e.ir();
  const unsigned bits = bits_of(from);
  const std::uint32_t rounding = rounding_of(e.instruction());
  if (bits == 64) {
    const char* function = to == Type::f64
                               ? (is_signed(from) ? "octavo_cvt_f64_s64" : "octavo_cvt_f64_u64")
                               : (is_signed(from) ? "octavo_cvt_f32_s64" : "octavo_cvt_f32_u64");
    return e.as_float(converted(e, function, value, bits_of(to), rounding), to);
  }
  Value* wide =
      is_signed(from) ? ir.CreateSExt(value, e.lanes(32)) : ir.CreateZExt(value, e.lanes(32));
  if (to == Type::f32 && bits == 32 && rounding != 0) {
    return e.as_float(converted(e, is_signed(from) ? "octavo_cvt_f32_s32" : "octavo_cvt_f32_u32",
                                wide, 32, rounding),
                      to);
  }
  return is_signed(from) || bits < 32 ? ir.CreateSIToFP(wide, e.floats(to))
                                      : ir.CreateUIToFP(wide, e.floats(to));
}

Value* to_half(Emitter& e, Value* f64, Type to, std::uint32_t rounding) {
  return converted(e, to == Type::f16 ? "octavo_f16_f64" : "octavo_bf16_f64", f64, 16, rounding);
}

void from_integer(Emitter& e, Type to, Type from) {
  Value* value = e.source(1, bits_of(from), true);
  if (is_half(to)) {
    // An integer of 32 bits or fewer is exact in f64; one of 64 is rounded to odd there.
    Value* f64 =
        bits_of(from) < 64
            ? integer_to_float(e, value, from, Type::f64)
            : e.as_float(
                  converted(e, is_signed(from) ? "octavo_odd_s64" : "octavo_odd_u64", value, 64, 0),
                  Type::f64);
    return e.write(0u, to_half(e, f64, to, rounding_of(e.instruction())));
  }
  Value* result = integer_to_float(e, value, from, to);
  if (e.instruction().has("sat")) result = saturate_to_one(e, result);
  e.write(0u, result);
}

// 0 nearest, 1 zero, 2 down, 3 up of .rni and its like; `none` if there is none.
std::uint32_t integer_rounding(const ptx::Instruction& instruction, std::uint32_t none) {
  if (instruction.has("rni")) return 0;
  if (instruction.has("rzi")) return 1;
  if (instruction.has("rmi")) return 2;
  return instruction.has("rpi") ? 3 : none;
}

Value* round_to_integer(Emitter& e, Value* value, std::uint32_t rounding) {
  constexpr llvm::Intrinsic::ID kRoundings[] = {llvm::Intrinsic::roundeven, llvm::Intrinsic::trunc,
                                                llvm::Intrinsic::floor, llvm::Intrinsic::ceil};
  return e.ir().CreateUnaryIntrinsic(kRoundings[rounding], value);
}

Value* read_float(Emitter& e, Type from) {
  if (is_half(from)) return widen_half(e, e.source(1, 16, true), from);
  Value* value = e.source_float(1, from);
  return from == Type::f32 && e.instruction().has("ftz") ? flush_subnormals(e, value) : value;
}

void float_to_integer(Emitter& e, Type to, Type from) {
  auto& ir = e.ir();
  Value* value = read_float(e, from);
  const std::uint32_t rounding = integer_rounding(e.instruction(), 1);
  const unsigned bits = bits_of(to);
  if (bits == 64) {
    Value* wide = from == Type::f64 ? value : ir.CreateFPExt(value, e.floats(Type::f64));
    return e.write(
        0u, converted(e, is_signed(to) ? "octavo_s64_f64" : "octavo_u64_f64", wide, 64, rounding));
  }
  Value* whole = round_to_integer(e, value, rounding);
  const auto id = is_signed(to) ? llvm::Intrinsic::fptosi_sat : llvm::Intrinsic::fptoui_sat;
  Value* result = ir.CreateIntrinsic(id, {e.lanes(32), whole->getType()}, {whole});
  if (from == Type::f64) {
    // A NaN gives the integer whose highest bit alone is set, where an f64 is on either side.
    Value* nan = ir.CreateFCmpUNO(value, value);
    result = ir.CreateSelect(nan, e.splat(0x80000000u, 32), result);
  }
  if (bits < 32) result = clamp(e, result, is_signed(to) ? Type::s32 : Type::u32, to);
  e.write(0u, ir.CreateTrunc(result, e.lanes(bits)), is_signed(to));
}

// .satfinite: what is beyond the largest number becomes it; NaNs stay.
Value* clamp_to_finite(Emitter& e, Value* value, Type to) {
  if (!e.instruction().has("satfinite")) return value;
  auto& ir = e.ir();
  const double largest = is_bf16(to) ? 0x1.FEp127 : 65504;
  for (const double bound : {largest, -largest}) {
    Value* limit = llvm::ConstantFP::get(value->getType(), bound);
    Value* beyond = bound > 0 ? ir.CreateFCmpOGT(value, limit) : ir.CreateFCmpOLT(value, limit);
    value = ir.CreateSelect(beyond, limit, value);
  }
  return value;
}

void narrow_to_half(Emitter& e, Value* value, Type to, Type from) {
  auto& ir = e.ir();
  if (e.instruction().has("sat")) value = saturate_to_one(e, value);
  if (e.instruction().has("relu")) {
    Value* zero = llvm::Constant::getNullValue(value->getType());
    value = ir.CreateSelect(ir.CreateFCmpOLE(value, zero), zero, value);
  }
  value = clamp_to_finite(e, value, to);
  const std::uint32_t rounding = rounding_of(e.instruction());
  if (from == Type::f64 || rounding != 0) {
    Value* wide = from == Type::f64 ? value : ir.CreateFPExt(value, e.floats(Type::f64));
    return e.write(0u, to_half(e, wide, to, rounding));
  }
  e.write(0u, narrow_half(e, value, to));
}

void float_to_float(Emitter& e, Type to, Type from) {
  auto& ir = e.ir();
  Value* value = read_float(e, from);
  const std::uint32_t whole = integer_rounding(e.instruction(), 4);
  if (whole != 4) value = round_to_integer(e, value, whole);
  if (is_half(to)) return narrow_to_half(e, value, to, from);
  if (to == Type::f64) {
    if (from != Type::f64) value = ir.CreateFPExt(value, e.floats(Type::f64));
  } else if (from == Type::f64) {
    const std::uint32_t rounding = rounding_of(e.instruction());
    value = rounding == 0
                ? ir.CreateFPTrunc(value, e.floats(Type::f32))
                : e.as_float(converted(e, "octavo_cvt_f32_f64", value, 32, rounding), Type::f32);
  }
  if (e.instruction().has("sat")) value = saturate_to_one(e, value);
  if (to == Type::f32) {
    if (e.instruction().has("ftz")) value = flush_subnormals(e, value);
    value = canonical_nan(e, value);
  }
  e.write(0u, value);
}

// Two f32, the first for the upper half, to a pair of 16-bit floats.
void to_half_pair(Emitter& e, Type to) {
  auto& ir = e.ir();
  const Type half = to == Type::f16x2 ? Type::f16 : Type::bf16;
  const std::uint32_t rounding = rounding_of(e.instruction());
  Value* halves[2];
  for (std::size_t i = 0; i < 2; ++i) {
    Value* value = e.source_float(i + 1, Type::f32);
    if (e.instruction().has("relu")) {
      Value* zero = llvm::Constant::getNullValue(value->getType());
      value = ir.CreateSelect(ir.CreateFCmpOLE(value, zero), zero, value);
    }
    value = clamp_to_finite(e, value, half);
    Value* bits = rounding == 0
                      ? narrow_half(e, value, half)
                      : to_half(e, ir.CreateFPExt(value, e.floats(Type::f64)), half, rounding);
    halves[i] = ir.CreateZExt(bits, e.lanes(32));
  }
  e.write(0u, ir.CreateOr(ir.CreateShl(halves[0], e.splat(16, 32)), halves[1]));
}

void to_fp8_pair(Emitter& e, Type to, Type from) {
  if (!e.instruction().has("satfinite")) reject(e.instruction(), "needs .satfinite");
  const bool e4m3 = to == Type::e4m3x2;
  Value* result = e.room(16);
  if (from == Type::f16x2) {
    e.call(e4m3 ? "octavo_e4m3x2_f16x2" : "octavo_e5m2x2_f16x2",
           {result, e.spill(e.source(1, 32)), relu_flag(e)});
  } else if (from == Type::f32 && e.instruction().operands.size() == 3) {
    e.call(e4m3 ? "octavo_e4m3x2_f32" : "octavo_e5m2x2_f32",
           {result, e.spill(e.source(1, 32)), e.spill(e.source(2, 32)), relu_flag(e)});
  } else {
    refuse(e.instruction(), "this pair of types is not supported");
  }
  e.write(0u, e.fetch(result, 16));
}

void from_fp8_pair(Emitter& e, Type to, Type from) {
  if (!is_packed(to)) refuse(e.instruction(), "this pair of types is not supported");
  Value* result = e.room(32);
  e.call(from == Type::e4m3x2 ? "octavo_f16x2_e4m3x2" : "octavo_f16x2_e5m2x2",
         {result, e.spill(e.source(1, 16)), relu_flag(e)});
  Value* halves = e.fetch(result, 32);
  if (is_bf16(to)) halves = narrow_half(e, widen_half(e, halves, Type::f16x2), to);
  e.write(0u, halves);
}

// The exponents of two f32 or of a pair of bf16: powers of two, rounded towards zero or up.
void to_exponent_pair(Emitter& e, Type from) {
  auto& ir = e.ir();
  const std::uint32_t rounding = rounding_of(e.instruction());
  if (rounding != 1 && rounding != 3) reject(e.instruction(), "rounds by .rz or .rp");
  if (from != Type::f32 && from != Type::bf16x2)
    refuse(e.instruction(), "this pair of types is not supported");
  Value* parts[2];
  for (std::size_t i = 0; i < 2; ++i) {
    Value* bits = e.source(from == Type::f32 ? i + 1 : 1, 32);
    if (from == Type::bf16x2) {
      bits = i == 0 ? bits : ir.CreateShl(bits, e.splat(16, 32));
      bits = ir.CreateAnd(bits, e.splat(0xFFFF0000u, 32));
    }
    Value* magnitude = ir.CreateAnd(bits, e.splat(0x7FFFFFFF, 32));
    Value* exponent = ir.CreateLShr(magnitude, e.splat(23, 32));
    Value* finite = ir.CreateICmpULT(magnitude, e.splat(0x7F800000, 32));
    if (rounding == 3) {
      // Numbers up to 2^-127 are that, the least one.
      Value* above =
          ir.CreateAnd(ir.CreateICmpNE(ir.CreateAnd(bits, e.splat(0x7FFFFF, 32)), e.splat(0, 32)),
                       ir.CreateICmpUGT(magnitude, e.splat(0x00400000, 32)));
      exponent = ir.CreateAdd(exponent, ir.CreateZExt(ir.CreateAnd(above, finite), e.lanes(32)));
    }
    if (e.instruction().has("satfinite")) {
      Value* number = ir.CreateICmpULE(magnitude, e.splat(0x7F800000, 32));
      Value* clamped = ir.CreateBinaryIntrinsic(llvm::Intrinsic::umin, exponent, e.splat(0xFE, 32));
      exponent = ir.CreateSelect(number, clamped, exponent);
    }
    parts[i] = exponent;
  }
  Value* pair = ir.CreateOr(ir.CreateShl(parts[0], e.splat(8, 32)), parts[1]);
  e.write(0u, ir.CreateTrunc(pair, e.lanes(16)));
}

void from_exponent_pair(Emitter& e, Type to) {
  auto& ir = e.ir();
  if (to != Type::bf16x2) refuse(e.instruction(), "this pair of types is not supported");
  Value* pair = ir.CreateZExt(e.source(1, 16), e.lanes(32));
  Value* result = e.splat(0, 32);
  for (const unsigned shift : {0u, 8u}) {
    Value* code = ir.CreateAnd(ir.CreateLShr(pair, e.splat(shift, 32)), e.splat(0xFF, 32));
    Value* number = ir.CreateShl(code, e.splat(7, 32));
    number = ir.CreateSelect(ir.CreateICmpEQ(code, e.splat(0, 32)), e.splat(0x40, 32), number);
    number = ir.CreateSelect(ir.CreateICmpEQ(code, e.splat(0xFF, 32)), e.splat(0x7FFF, 32), number);
    result = ir.CreateOr(result, ir.CreateShl(number, e.splat(2 * shift, 32)));
  }
  e.write(0u, result);
}

void to_tf32(Emitter& e) {
  auto& ir = e.ir();
  Value* bits = e.source(1, 32);
  Value* added = e.splat(0, 32);
  if (e.instruction().has("rna")) {
    added = e.splat(0x1000, 32);
  } else if (!e.instruction().has("rz")) {
    Value* odd = ir.CreateAnd(ir.CreateLShr(bits, e.splat(13, 32)), e.splat(1, 32));
    added = ir.CreateAdd(odd, e.splat(0xFFF, 32));
  }
  Value* rounded = ir.CreateAnd(ir.CreateAdd(bits, added), e.splat(0xFFFFE000u, 32));
  if (e.instruction().has("relu")) {
    Value* negative = ir.CreateICmpSLT(bits, e.splat(0, 32));
    rounded = ir.CreateSelect(negative, e.splat(0, 32), rounded);
  }
  Value* value = e.as_float(bits, Type::f32);
  Value* special =
      ir.CreateICmpUGE(ir.CreateAnd(bits, e.splat(0x7FFFFFFF, 32)), e.splat(0x7F800000, 32));
  e.write(0u, ir.CreateSelect(special, e.as_bits(canonical_nan(e, value)), rounded));
}

}  // namespace

void lower_cvt(Emitter& e, const Step&) {
  const Type to = e.instruction().type(0), from = e.instruction().type(1);
  if (from == Type::none) reject(e.instruction(), "needs two types");
  const std::size_t sources = e.instruction().operands.size() - 1;
  const bool pairs =
      (is_packed(to) || to == Type::e4m3x2 || to == Type::e5m2x2 || to == Type::ue8m0x2) &&
      from == Type::f32;
  if (sources != (pairs ? 2u : 1u)) reject(e.instruction(), "has the wrong number of operands");
  if (to == Type::e4m3x2 || to == Type::e5m2x2) return to_fp8_pair(e, to, from);
  if (from == Type::e4m3x2 || from == Type::e5m2x2) return from_fp8_pair(e, to, from);
  if (to == Type::ue8m0x2) return to_exponent_pair(e, from);
  if (from == Type::ue8m0x2) return from_exponent_pair(e, to);
  if (to == Type::tf32 && from == Type::f32) return to_tf32(e);
  if (is_packed(to) && from == Type::f32) return to_half_pair(e, to);
  const bool from_number = is_integer(from) || is_float(from),
             to_number = is_integer(to) || is_float(to);
  if (!from_number || !to_number) refuse(e.instruction(), "this pair of types is not supported");
  if (is_integer(from))
    return is_integer(to) ? integer_to_integer(e, to, from) : from_integer(e, to, from);
  if (is_integer(to)) return float_to_integer(e, to, from);
  float_to_float(e, to, from);
}

// Two clamped integers beside each other, above them what c's upper bits held.
void lower_cvt_pack(Emitter& e, const Step&) {
  auto& ir = e.ir();
  const Type to = e.instruction().type(0), from = e.instruction().type(1);
  const unsigned bits = bits_of(to);
  const bool has_c = e.instruction().operands.size() == 4;
  if (from != Type::s32 || (bits != 8 && bits != 16) || has_c != (bits == 8)) {
    refuse(e.instruction(), "this form is not supported");
  }
  Value* mask = e.splat((std::uint64_t{1} << bits) - 1, 32);
  Value* a = ir.CreateAnd(clamp(e, e.source(1, 32), from, to), mask);
  Value* b = ir.CreateAnd(clamp(e, e.source(2, 32), from, to), mask);
  Value* result = ir.CreateOr(ir.CreateShl(a, e.splat(bits, 32)), b);
  if (has_c) result = ir.CreateOr(result, ir.CreateShl(e.source(3, 32), e.splat(2 * bits, 32)));
  e.write(0u, result);
}

}  // namespace octavo::emulator::lower
