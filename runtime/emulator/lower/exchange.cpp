// What the lanes of a warp do together: shuffles, votes, matrices.
#include <llvm/IR/Constants.h>
#include <llvm/IR/Intrinsics.h>

#include <algorithm>
#include <array>
#include <cstddef>

#include "execute/warp.hpp"
#include "lower/emitter.hpp"
#include "lower/families.hpp"
#include "lower/matrix.hpp"
#include "tensor_core/mma.hpp"

namespace octavo::emulator::lower {
namespace {

using llvm::Value;
using ptx::Operand;
using ptx::Type;

// The modifier of this list that the instruction has.
std::string which(Emitter& e, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (e.instruction().has(name)) return name;
  }
  reject(e.instruction(), "lacks its mode");
}

// What every lane gets of the others is undefined where one of these is.
void spread_undefined(Emitter& e, Value* members) {
  if (llvm::isa<llvm::Constant>(e.undefined())) return;
  e.set_undefined(
      e.call("octavo_undefined_spread", e.ir().getInt32Ty(), {e.warp(), e.undefined(), members}));
}

}  // namespace

void lower_shfl(Emitter& e, const Step&) {
  const std::size_t a = e.instruction().pair ? 2 : 1;
  static constexpr std::array kModes{"up", "down", "bfly", "idx"};
  const std::string mode = which(e, {"up", "down", "bfly", "idx"});
  Value* result = e.room(32);
  Value* in_range = e.room(32);
  Value* value = e.spill(e.source(a, 32));
  Value* undefined = e.undefined();
  e.set_undefined(e.number(0));
  Value* b = e.spill(e.source(a + 1, 32));
  Value* c = e.spill(e.source(a + 2, 32));
  e.call("octavo_shfl_" + mode, {result, in_range, value, b, c});
  if (e.instruction().pair) e.write(1, e.fetch(in_range, 32));
  if (!llvm::isa<llvm::Constant>(undefined)) {
    const auto number = std::find(kModes.begin(), kModes.end(), mode) - kModes.begin();
    undefined = e.call("octavo_undefined_shfl", e.ir().getInt32Ty(),
                       {undefined, b, c, e.number(static_cast<std::uint32_t>(number))});
  }
  e.set_undefined(e.either(undefined, e.undefined()));
  e.write(0u, e.fetch(result, 32));
}

void lower_vote(Emitter& e, const Step&) {
  auto& ir = e.ir();
  Value* ballot = e.room(32);
  Value* group = e.room(32);
  Value* bits = e.ballot(e.source_predicate(e.instruction().operands[1]));
  Value* members = e.spill(e.source(2, 32));
  e.call("octavo_vote", {e.warp(), ballot, group, bits, members});
  spread_undefined(e, members);
  Value* set = e.fetch(ballot, 32);
  Value* all = e.fetch(group, 32);
  const std::string mode = which(e, {"ballot", "all", "any", "uni"});
  if (mode == "ballot") return e.write(0u, set);
  Value* is_all = ir.CreateICmpEQ(set, all);
  Value* is_none = ir.CreateICmpEQ(set, e.splat(0, 32));
  e.write(0u, e.predicate(mode == "all"   ? is_all
                          : mode == "any" ? ir.CreateNot(is_none)
                                          : ir.CreateOr(is_all, is_none)));
}

void lower_match(Emitter& e, const Step&) {
  const bool all = e.instruction().has("all");
  const std::size_t a = e.instruction().pair ? 2 : 1;
  const unsigned bits = bits_of(e.instruction().type());
  const std::string suffix = bits == 64 ? "64" : "32";
  Value* result = e.room(32);
  Value* value = e.spill(e.source(a, bits));
  Value* members = e.spill(e.source(a + 1, 32));
  spread_undefined(e, members);
  if (all) {
    Value* same = e.room(32);
    e.call("octavo_match_all_" + suffix, {e.warp(), result, same, value, members});
    if (e.instruction().pair) e.write(1, e.fetch(same, 32));
  } else {
    e.call("octavo_match_any_" + suffix, {e.warp(), result, value, members});
  }
  e.write(0u, e.fetch(result, 32));
}

void lower_redux(Emitter& e, const Step&) {
  const auto& instruction = e.instruction();
  std::string operation = which(e, {"add", "min", "max", "and", "or", "xor"});
  const bool is_extremum = operation == "min" || operation == "max";
  const bool greatest = operation == "max";
  if (is_extremum) operation = (is_signed(instruction.type()) ? "s" : "u") + operation;
  Value* result = e.room(32);
  Value* value = e.spill(e.source(1, 32));
  Value* members = e.spill(e.source(2, 32));
  if (instruction.type() == Type::f32) {
    if (!is_extremum) refuse(instruction, "this operation is not supported for the type");
    const std::uint32_t flags = (greatest ? 1u : 0u) | (instruction.has("abs") ? 2u : 0u) |
                                (instruction.has("NaN") ? 4u : 0u);
    e.call("octavo_redux_f32", {e.warp(), result, value, members, e.number(flags)});
  } else {
    e.call("octavo_redux_" + operation, {e.warp(), result, value, members});
  }
  spread_undefined(e, members);
  e.write(0u, e.fetch(result, 32));
}

void lower_elect(Emitter& e, const Step&) {
  if (!e.instruction().pair)
    reject(e.instruction(), "needs a predicate for its second destination");
  Value* leader = e.room(32);
  Value* elected = e.room(32);
  e.call("octavo_elect", {e.warp(), leader, elected, e.spill(e.source(2, 32))});
  e.write(0u, e.fetch(leader, 32));
  e.write(1, e.fetch(elected, 32));
}

void lower_activemask(Emitter& e, const Step&) {
  e.write(0u, e.splat(e.load_member(e.ir().getInt32Ty(), offsetof(Warp, mask))));
}

namespace {

using tensor_core::Accumulator;

// A fragment's registers as 32-bit vectors; f32 and b32 alike.
std::vector<Value*> fragment(Emitter& e, const Operand& operand, int registers) {
  const bool vector = operand.kind == Operand::Kind::vector;
  const auto elements =
      vector ? std::span<const Operand>(operand.elements) : std::span<const Operand>(&operand, 1);
  if (static_cast<int>(elements.size()) != registers) {
    reject(e.instruction(), "a fragment has " + std::to_string(elements.size()) +
                                " registers, not " + std::to_string(registers));
  }
  std::vector<Value*> values;
  for (const Operand& part : elements) values.push_back(e.source(part, 32));
  return values;
}

tensor_core::MmaShape shape_of(Emitter& e) {
  tensor_core::MmaShape shape{};
  shape.compute_capability = e.compute_capability();
  for (const auto& modifier : e.instruction().modifiers) {
    int m = 0, n = 0, k = 0;
    if (std::sscanf(modifier.c_str(), "m%dn%dk%d", &m, &n, &k) == 3) {
      shape.m = m, shape.n = n, shape.k = k;
    }
  }
  const auto& instruction = e.instruction();
  const Type d = instruction.type(0), c = instruction.type(3);
  if (d != c) refuse(instruction, "d and c of different types are not supported");
  shape.a = element_of(instruction, 1);
  shape.b = element_of(instruction, 2);
  shape.accumulator = accumulator_of(instruction, 0);
  return shape;
}

// Of the registers of D.
std::vector<Value*> undefined_product(Emitter& e, const std::vector<Operand>& operands) {
  const auto parts = [](const Operand& operand) {
    return operand.kind == Operand::Kind::vector ? std::span<const Operand>(operand.elements)
                                                 : std::span<const Operand>(&operand, 1);
  };
  // A's registers walk down its rows first: even ones hold rows 0-7, odd ones rows 8-15.
  Value* rows[2] = {e.number(0), e.number(0)};
  for (std::size_t i = 0; i < parts(operands[1]).size(); ++i)
    rows[i % 2] = e.either(rows[i % 2], e.undefined_lanes(parts(operands[1])[i]));
  Value* columns = e.undefined_lanes(operands[2]);
  std::vector<Value*> masks;
  for (const Operand& part : parts(operands[3])) masks.push_back(e.undefined_lanes(part));
  if (llvm::isa<llvm::Constant>(e.either(e.either(rows[0], rows[1]), columns))) return masks;
  const auto count = static_cast<unsigned>(masks.size());
  Value* room = e.room_for_masks(count);
  for (unsigned i = 0; i < count; ++i)
    e.ir().CreateStore(masks[i], e.ir().CreateConstInBoundsGEP1_64(e.ir().getInt32Ty(), room, i));
  e.call("octavo_undefined_mma", {room, rows[0], rows[1], columns, e.number(count)});
  for (unsigned i = 0; i < count; ++i) masks[i] = e.fetch_mask(room, i);
  return masks;
}

}  // namespace

void lower_mma(Emitter& e, const Step&) {
  const tensor_core::Mma* mma = tensor_core::find_mma(shape_of(e));
  if (mma == nullptr) refuse(e.instruction(), "the emulated device has no such matrix instruction");
  const bool saturates = e.instruction().has("satfinite");
  if (saturates && mma->shape.accumulator != Accumulator::s32) {
    reject(e.instruction(), ".satfinite is for integers");
  }
  const auto& operands = e.instruction().operands;
  Value* a = e.spill(fragment(e, operands[1], mma->a_registers));
  Value* b = e.spill(fragment(e, operands[2], mma->b_registers));
  const std::vector<Value*> addends = fragment(e, operands[3], mma->c_registers);
  // A product never leaves 32 bits; its sum with c may.
  Value* c = e.spill(saturates ? std::vector<Value*>(addends.size(), e.splat(0, 32)) : addends);
  const Operand& d = operands[0];
  if (d.kind != Operand::Kind::vector || static_cast<int>(d.elements.size()) != mma->c_registers) {
    reject(e.instruction(),
           "the destination has " + std::to_string(mma->c_registers) + " registers");
  }
  e.call(llvm::StringRef(mma->symbol.data(), mma->symbol.size()), {c, a, b, c});
  const std::vector<Value*> undefined = undefined_product(e, operands);
  for (unsigned i = 0; i < d.elements.size(); ++i) {
    e.set_undefined(undefined[i]);
    Value* sum = e.fetch(c, 32, i);
    if (saturates) {
      sum = e.ir().CreateBinaryIntrinsic(llvm::Intrinsic::sadd_sat, sum, addends[i]);
    }
    e.write(d.elements[i], sum);
  }
}

namespace {

unsigned matrices(Emitter& e) {
  const std::string count = which(e, {"x1", "x2", "x4"});
  return static_cast<unsigned>(count[1] - '0');
}

Value* is_generic(Emitter& e) {
  return e.number(e.instruction().has("shared") || e.instruction().has("shared::cta") ? 0 : 1);
}

std::span<const Operand> matrix_registers(Emitter& e, const Operand& operand, unsigned count) {
  const bool vector = operand.kind == Operand::Kind::vector;
  const auto parts =
      vector ? std::span<const Operand>(operand.elements) : std::span<const Operand>(&operand, 1);
  if (parts.size() != count) reject(e.instruction(), "needs a register for each matrix");
  return parts;
}

}  // namespace

void lower_ldmatrix(Emitter& e, const Step&) {
  const unsigned count = matrices(e);
  const Operand& from = e.instruction().operands[1];
  const auto to = matrix_registers(e, e.instruction().operands[0], count);
  Value* result = e.room(32, count);
  Value* undefined = e.room_for_masks(count);
  e.mark_line();
  e.call("octavo_ldmatrix",
         {e.warp(), result, e.spill(e.address(from)), e.number64(from.offset), e.number(count),
          e.number(e.instruction().has("trans") ? 1 : 0), is_generic(e), undefined});
  for (unsigned i = 0; i < count; ++i) {
    e.set_undefined(e.fetch_mask(undefined, i));
    e.write(to[i], e.fetch(result, 32, i));
  }
}

void lower_stmatrix(Emitter& e, const Step&) {
  const unsigned count = matrices(e);
  const Operand& to = e.instruction().operands[0];
  std::vector<Value*> values;
  Value* undefined = e.room_for_masks(count);
  for (const Operand& part : matrix_registers(e, e.instruction().operands[1], count)) {
    e.ir().CreateStore(e.undefined_lanes(part), e.ir().CreateConstInBoundsGEP1_64(
                                                    e.ir().getInt32Ty(), undefined, values.size()));
    values.push_back(e.source(part, 32));
  }
  e.mark_line();
  e.call("octavo_stmatrix",
         {e.warp(), e.spill(values), e.spill(e.address(to)), e.number64(to.offset), e.number(count),
          e.number(e.instruction().has("trans") ? 1 : 0), is_generic(e), undefined});
}

void lower_movmatrix(Emitter& e, const Step&) {
  Value* result = e.room(32);
  e.call("octavo_movmatrix", {result, e.spill(e.source(1, 32))});
  if (!llvm::isa<llvm::Constant>(e.undefined())) {
    e.set_undefined(e.call("octavo_undefined_movmatrix", e.ir().getInt32Ty(), {e.undefined()}));
  }
  e.write(0u, e.fetch(result, 32));
}

}  // namespace octavo::emulator::lower
