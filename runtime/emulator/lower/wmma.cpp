// wmma: tiles of 16x16, 32x8 or 8x32, as two matrix instructions of m16n8. How a tile lies in
// registers is the implementation's own to choose: here a fragment is those of m16n8 side by side,
// and an 8x32 tile is handled as the transpose of a 32x8 one, of transposed operands.
#include "execute/wmma.hpp"

#include <llvm/IR/Constants.h>
#include <llvm/IR/Intrinsics.h>

#include <cstdio>

#include "lower/emitter.hpp"
#include "lower/families.hpp"
#include "lower/matrix.hpp"
#include "tensor_core/number.hpp"

namespace octavo::emulator::lower {
namespace {

using llvm::Value;
using ptx::Operand;
using ptx::Type;
using tensor_core::Accumulator;
using tensor_core::Element;

struct Shape {
  int m = 0, n = 0, k = 0;
  bool transposed() const { return m == 8; }
  bool is_tall() const { return m != 16; }  // its two parts lie below each other, transposed or not
};

Shape shape_of(Emitter& e) {
  Shape shape;
  for (const auto& modifier : e.instruction().modifiers) {
    std::sscanf(modifier.c_str(), "m%dn%dk%d", &shape.m, &shape.n, &shape.k);
  }
  if (shape.m * shape.n != 256) refuse(e.instruction(), "this shape is not supported");
  return shape;
}

// One matrix of a tile as it lies in registers.
struct Fragment {
  WmmaPart part;
  unsigned bytes;      // of an element
  unsigned registers;  // of a part of it that one m16n8 takes
  unsigned parts;      // of them; repeated to fill `all` registers
  unsigned all;
};

Fragment fragment_of(const Shape& shape, bool is_a, Element element) {
  // The transposed tile has the operands change places.
  const bool tall = is_a != shape.transposed();
  Fragment fragment{};
  fragment.part = tall ? WmmaPart::tall : WmmaPart::wide;
  fragment.bytes = static_cast<unsigned>(tensor_core::bytes_of(element));
  fragment.registers = static_cast<unsigned>(shape.k) * fragment.bytes / (tall ? 8 : 16);
  fragment.parts = tall == shape.is_tall() ? 2 : 1;
  fragment.all = element == Element::f16 ? 8 : fragment.registers * fragment.parts;
  return fragment;
}

Fragment accumulator_of(Emitter& e, const Shape& shape, Type type) {
  Fragment fragment{};
  fragment.part = shape.is_tall() ? WmmaPart::stacked : WmmaPart::beside;
  fragment.bytes = type == Type::f16 ? 2 : 4;
  fragment.registers = fragment.bytes;
  fragment.parts = 2;
  fragment.all = 2 * fragment.registers;
  if (type != Type::f16 && type != Type::f32 && type != Type::s32) {
    refuse(e.instruction(), "this accumulator type is not supported");
  }
  return fragment;
}

// Of wmma.load and wmma.store.
Fragment fragment_of(Emitter& e, const Shape& shape) {
  const auto& instruction = e.instruction();
  const Type type = instruction.type();
  if (instruction.has("c") || instruction.has("d")) return accumulator_of(e, shape, type);
  return fragment_of(shape, instruction.has("a"), element_of(instruction, 0));
}

std::span<const Operand> registers_of(Emitter& e, const Operand& operand, unsigned count) {
  const bool vector = operand.kind == Operand::Kind::vector;
  const auto parts =
      vector ? std::span<const Operand>(operand.elements) : std::span<const Operand>(&operand, 1);
  if (parts.size() != count) {
    reject(e.instruction(), "this fragment has " + std::to_string(count) + " registers");
  }
  return parts;
}

// Calls octavo_wmma_load or _store for the fragment at the address that operand `at` holds.
void access(Emitter& e, const char* function, const Fragment& fragment, Value* registers,
            const Operand& at, std::size_t stride_index) {
  const auto& instruction = e.instruction();
  const Shape shape = shape_of(e);
  const bool column_major = instruction.has("col");
  if (column_major == instruction.has("row")) reject(instruction, "needs .row or .col");
  const bool is_a = instruction.has("a"), is_b = instruction.has("b");
  const int rows = is_b ? shape.k : shape.m, columns = is_a ? shape.k : shape.n;
  Value* stride = instruction.operands.size() > stride_index
                      ? e.source(stride_index, 32)
                      : e.splat(static_cast<std::uint64_t>(column_major ? rows : columns), 32);
  const bool shared = instruction.has("shared") || instruction.has("shared::cta");
  e.mark_line();
  e.call(function,
         {e.warp(), registers, e.spill(e.address(at)), e.number64(at.offset), e.spill(stride),
          e.number(static_cast<std::uint32_t>(fragment.part)), e.number(fragment.bytes),
          e.number(fragment.registers), e.number(fragment.parts), e.number(fragment.all),
          e.number(column_major != shape.transposed() ? 1 : 0), e.number(shared ? 1 : 0)});
}

}  // namespace

void lower_wmma_load(Emitter& e, const Step&) {
  const auto& operands = e.instruction().operands;
  const Fragment fragment = fragment_of(e, shape_of(e));
  const auto to = registers_of(e, operands[0], fragment.all);
  Value* result = e.room(32, fragment.all);
  access(e, "octavo_wmma_load", fragment, result, operands[1], 2);
  for (unsigned i = 0; i < fragment.all; ++i) e.write(to[i], e.fetch(result, 32, i));
}

void lower_wmma_store(Emitter& e, const Step&) {
  const auto& operands = e.instruction().operands;
  const Fragment fragment = fragment_of(e, shape_of(e));
  std::vector<Value*> values;
  for (const Operand& part : registers_of(e, operands[1], fragment.all)) {
    values.push_back(e.source(part, 32));
  }
  access(e, "octavo_wmma_store", fragment, e.spill(values), operands[0], 2);
}

void lower_wmma_mma(Emitter& e, const Step&) {
  const auto& instruction = e.instruction();
  const Shape shape = shape_of(e);
  // "f32.f32" of f16 operands, or "f32.bf16.bf16.f32".
  const bool all_types = instruction.type(2) != Type::none;
  const Type d = instruction.type(0), c = instruction.type(all_types ? 3 : 1);
  if (d != c) refuse(instruction, "d and c of different types are not supported");
  const Element a = all_types ? element_of(instruction, 1) : Element::f16;
  const Element b = all_types ? element_of(instruction, 2) : Element::f16;
  const Fragment accumulator = accumulator_of(e, shape, d);
  const Fragment a_fragment = fragment_of(shape, true, a),
                 b_fragment = fragment_of(shape, false, b);
  const Accumulator kind = d == Type::f32   ? Accumulator::f32
                           : d == Type::f16 ? Accumulator::f16
                                            : Accumulator::s32;
  const auto* mma =
      tensor_core::find_mma({e.compute_capability(), 16, 8, shape.k, shape.transposed() ? b : a,
                             shape.transposed() ? a : b, kind});
  if (mma == nullptr) refuse(instruction, "the emulated device has no such matrix instruction");
  const bool saturates = instruction.has("satfinite");
  if (saturates && kind != Accumulator::s32) reject(instruction, ".satfinite is for integers");
  const auto& operands = instruction.operands;
  const auto to = registers_of(e, operands[0], accumulator.all);
  const auto part = [&](const Operand& operand, const Fragment& fragment, unsigned i) {
    const auto registers = registers_of(e, operand, fragment.all);
    std::vector<Value*> values;
    for (unsigned r = 0; r < fragment.registers; ++r) {
      values.push_back(e.source(registers[i % fragment.parts * fragment.registers + r], 32));
    }
    return e.spill(values);
  };
  const unsigned x = shape.transposed() ? 2 : 1, y = shape.transposed() ? 1 : 2;
  const Fragment& tall = shape.transposed() ? b_fragment : a_fragment;
  const Fragment& wide = shape.transposed() ? a_fragment : b_fragment;
  const auto addends = registers_of(e, operands[3], accumulator.all);
  // A product never leaves 32 bits; its sum with c may.
  const std::vector<Value*> zeros(accumulator.registers, e.splat(0, 32));
  Value* results[2];
  for (unsigned i = 0; i < 2; ++i) {
    results[i] = saturates ? e.spill(zeros) : part(operands[3], accumulator, i);
    e.call(llvm::StringRef(mma->symbol.data(), mma->symbol.size()),
           {results[i], part(operands[x], tall, i), part(operands[y], wide, i), results[i]});
  }
  std::vector<Value*> sums;
  for (unsigned i = 0; i < accumulator.all; ++i) {
    Value* sum = e.fetch(results[i / accumulator.registers], 32, i % accumulator.registers);
    if (saturates) {
      sum = e.ir().CreateBinaryIntrinsic(llvm::Intrinsic::sadd_sat, sum, e.source(addends[i], 32));
    }
    sums.push_back(sum);
  }
  for (unsigned i = 0; i < accumulator.all; ++i) e.write(to[i], sums[i]);
}

}  // namespace octavo::emulator::lower
