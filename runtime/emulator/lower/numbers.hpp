// Pieces of floating-point lowering that several families share. Vectors may have 32 lanes or, for
// packed pairs, 64.
#pragma once

#include "lower/emitter.hpp"

namespace octavo::emulator::lower {

// The rounding that the modifiers ask for: 0 nearest (also without any), 1 zero, 2 down, 3 up; as
// the functions of execute/rounding.cpp number them.
std::uint32_t rounding_of(const ptx::Instruction& instruction);

llvm::Value* flush_subnormals(Emitter& e, llvm::Value* f32);   // .ftz
llvm::Value* canonical_nan(Emitter& e, llvm::Value* f32);      // 0x7FFFFFFF for every NaN
llvm::Value* saturate_to_one(Emitter& e, llvm::Value* value);  // .sat: into [0, 1], NaN to 0

llvm::Value* minimum(Emitter& e, llvm::Value* a, llvm::Value* b, bool propagate_nan);
llvm::Value* maximum(Emitter& e, llvm::Value* a, llvm::Value* b, bool propagate_nan);

bool is_half(ptx::Type type);    // f16, bf16 and their pairs
bool is_packed(ptx::Type type);  // f16x2, bf16x2
bool is_bf16(ptx::Type type);    // bf16, bf16x2

// A 16-bit operand (or a pair) as f32, which holds it exactly: <32 x float> or <64 x float>.
llvm::Value* widen_half(Emitter& e, llvm::Value* bits, ptx::Type type);
// And back, rounded to nearest even, with canonical NaNs: <32 x i16> or <32 x i32>.
llvm::Value* narrow_half(Emitter& e, llvm::Value* f32, ptx::Type type);

// A vector's type with another element.
llvm::FixedVectorType* like(llvm::Value* value, llvm::Type* element);

}  // namespace octavo::emulator::lower
