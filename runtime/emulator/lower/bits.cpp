// Logic, shifts and bit fields.
#include <llvm/IR/Constants.h>
#include <llvm/IR/Intrinsics.h>

#include <span>

#include "lower/emitter.hpp"
#include "lower/families.hpp"

namespace octavo::emulator::lower {
namespace {

using llvm::Value;
using ptx::Operand;
using ptx::Type;

unsigned width(const Emitter& e) { return bits_of(type_of(e)); }

bool on_predicates(Emitter& e) { return e.instruction().type() == Type::pred; }

Value* logic_operand(Emitter& e, std::size_t i) {
  return on_predicates(e) ? e.source_predicate(e.instruction().operands[i]) : e.source(i, width(e));
}

// The immediate operand's value; false if it is a register.
bool constant(Emitter& e, std::size_t i, std::uint64_t& value) {
  const Operand& operand = e.instruction().operands[i];
  value = operand.bits;
  return operand.kind == Operand::Kind::immediate;
}

// A shift amount brought to the value's width; amounts beyond it stay beyond it.
Value* amount(Emitter& e, std::size_t i, unsigned bits) {
  Value* count = e.source(i, 32);
  if (bits == 64) return e.ir().CreateZExt(count, e.lanes(64));
  if (bits == 32) return count;
  Value* most = e.ir().CreateBinaryIntrinsic(llvm::Intrinsic::umin, count, e.splat(bits, 32));
  return e.ir().CreateTrunc(most, e.lanes(bits));
}

// Of and, or: an undefined operand does not matter where the other decides alone, which is where
// `decides` of it holds.
template <typename F>
void set_undefined_but_decided(Emitter& e, Value* a, Value* b, F&& decides) {
  const auto& operands = e.instruction().operands;
  Value* a_lanes = e.undefined_lanes(operands[1]);
  Value* b_lanes = e.undefined_lanes(operands[2]);
  if (llvm::isa<llvm::Constant>(e.either(a_lanes, b_lanes))) return;
  const auto decided = [&](Value* value, Value* undefined) {
    return e.without(e.ir().CreateBitCast(decides(value), e.ir().getInt32Ty()), undefined);
  };
  e.set_undefined(e.without(e.without(e.undefined(), decided(a, a_lanes)), decided(b, b_lanes)));
}

}  // namespace

void lower_and(Emitter& e, const Step&) {
  Value* a = logic_operand(e, 1);
  Value* b = logic_operand(e, 2);
  set_undefined_but_decided(e, a, b, [&](Value* value) { return e.ir().CreateIsNull(value); });
  e.write(0u, e.ir().CreateAnd(a, b));
}
void lower_or(Emitter& e, const Step&) {
  Value* a = logic_operand(e, 1);
  Value* b = logic_operand(e, 2);
  if (on_predicates(e)) {
    set_undefined_but_decided(e, a, b, [&](Value* value) { return e.condition(value); });
  } else {
    e.set_undefined_of_pack(std::span(e.instruction().operands).subspan(1));
  }
  e.write(0u, e.ir().CreateOr(a, b));
}
void lower_xor(Emitter& e, const Step&) {
  e.write(0u, e.ir().CreateXor(logic_operand(e, 1), logic_operand(e, 2)));
}
void lower_not(Emitter& e, const Step&) { e.write(0u, e.ir().CreateNot(logic_operand(e, 1))); }

void lower_cnot(Emitter& e, const Step&) {
  Value* a = e.source(1, width(e));
  Value* zero = e.ir().CreateICmpEQ(a, e.splat(0, width(e)));
  e.write(0u, e.ir().CreateZExt(zero, e.lanes(width(e))));
}

void lower_lop3(Emitter& e, const Step&) {
  auto& ir = e.ir();
  const std::size_t first = e.instruction().pair ? 2 : 1;
  std::uint64_t table = 0;
  if (!constant(e, first + 3, table) || table > 255)
    reject(e.instruction(), "the look-up table must be 0 to 255");
  Value* a = e.source(first, 32);
  Value* b = e.source(first + 1, 32);
  Value* c = e.source(first + 2, 32);
  e.set_undefined_of_pack(std::span(e.instruction().operands).subspan(first, 3));
  // f(a,b,c) is a chain of choices: c picks between two bits of the table, b between two such, then
  // a.
  const auto choose = [&](Value* selector, Value* if_set, Value* otherwise) {
    return if_set == otherwise ? if_set
                               : ir.CreateOr(ir.CreateAnd(selector, if_set),
                                             ir.CreateAnd(ir.CreateNot(selector), otherwise));
  };
  const auto by_c = [&](unsigned pair) -> Value* {
    switch (table >> (2 * pair) & 3) {
      case 0:
        return e.splat(0, 32);
      case 1:
        return ir.CreateNot(c);
      case 2:
        return c;
      default:
        return e.splat(~0ull, 32);
    }
  };
  Value* without_a = choose(b, by_c(1), by_c(0));
  Value* with_a = choose(b, by_c(3), by_c(2));
  Value* result = choose(a, with_a, without_a);
  if (e.instruction().pair) {
    Value* nonzero = e.predicate(ir.CreateICmpNE(result, e.splat(0, 32)));
    Value* other = e.source_predicate(e.instruction().operands.back());
    e.write(
        1, e.instruction().has("and") ? ir.CreateAnd(nonzero, other) : ir.CreateOr(nonzero, other));
  }
  e.write(0u, result);
}

void lower_shl(Emitter& e, const Step&) {
  auto& ir = e.ir();
  const unsigned bits = width(e);
  Value* a = e.source(1, bits);
  Value* count = amount(e, 2, bits);
  Value* inside = ir.CreateICmpULT(count, e.splat(bits, bits));
  Value* safe = ir.CreateSelect(inside, count, e.splat(0, bits));
  e.write(0u, ir.CreateSelect(inside, ir.CreateShl(a, safe), e.splat(0, bits)));
}

void lower_shr(Emitter& e, const Step&) {
  auto& ir = e.ir();
  const unsigned bits = width(e);
  Value* a = e.source(1, bits);
  Value* count = amount(e, 2, bits);
  if (is_signed(e.instruction().type())) {
    Value* most = ir.CreateBinaryIntrinsic(llvm::Intrinsic::umin, count, e.splat(bits - 1, bits));
    return e.write(0u, ir.CreateAShr(a, most));
  }
  Value* inside = ir.CreateICmpULT(count, e.splat(bits, bits));
  Value* safe = ir.CreateSelect(inside, count, e.splat(0, bits));
  e.write(0u, ir.CreateSelect(inside, ir.CreateLShr(a, safe), e.splat(0, bits)));
}

void lower_shf(Emitter& e, const Step&) {
  auto& ir = e.ir();
  Value* low = ir.CreateZExt(e.source(1, 32), e.lanes(64));
  Value* high = ir.CreateZExt(e.source(2, 32), e.lanes(64));
  Value* count = e.source(3, 32);
  count = e.instruction().has("wrap")
              ? ir.CreateAnd(count, e.splat(31, 32))
              : ir.CreateBinaryIntrinsic(llvm::Intrinsic::umin, count, e.splat(32, 32));
  count = ir.CreateZExt(count, e.lanes(64));
  Value* both = ir.CreateOr(low, ir.CreateShl(high, e.splat(32, 64)));
  Value* result = e.instruction().has("l")
                      ? ir.CreateLShr(ir.CreateShl(both, count), e.splat(32, 64))
                      : ir.CreateLShr(both, count);
  e.write(0u, ir.CreateTrunc(result, e.lanes(32)));
}

namespace {

void write_count(Emitter& e, Value* count) {
  e.write(0u, e.ir().CreateZExtOrTrunc(count, e.lanes(32)));
}

}  // namespace

void lower_popc(Emitter& e, const Step&) {
  write_count(e, e.ir().CreateUnaryIntrinsic(llvm::Intrinsic::ctpop, e.source(1, width(e))));
}

void lower_clz(Emitter& e, const Step&) {
  write_count(e, e.ir().CreateBinaryIntrinsic(llvm::Intrinsic::ctlz, e.source(1, width(e)),
                                              e.ir().getFalse()));
}

void lower_bfind(Emitter& e, const Step&) {
  auto& ir = e.ir();
  const unsigned bits = width(e);
  Value* a = e.source(1, bits);
  if (is_signed(e.instruction().type()))
    a = ir.CreateXor(a, ir.CreateAShr(a, e.splat(bits - 1, bits)));
  Value* zeros = ir.CreateBinaryIntrinsic(llvm::Intrinsic::ctlz, a, ir.getFalse());
  Value* found =
      e.instruction().has("shiftamt") ? zeros : ir.CreateSub(e.splat(bits - 1, bits), zeros);
  Value* none = ir.CreateICmpEQ(a, e.splat(0, bits));
  write_count(e, ir.CreateSelect(none, e.splat(~0ull, bits), found));
}

void lower_brev(Emitter& e, const Step&) {
  e.write(0u, e.ir().CreateUnaryIntrinsic(llvm::Intrinsic::bitreverse, e.source(1, width(e))));
}

void lower_bfe(Emitter& e, const Step&) {
  auto& ir = e.ir();
  const unsigned bits = width(e);
  const bool extend = is_signed(e.instruction().type());
  Value* a = e.source(1, bits);
  std::uint64_t position = 0, length = 0;
  if (constant(e, 2, position) && constant(e, 3, length) && length != 0 &&
      position + length <= bits) {
    Value* top = ir.CreateShl(a, e.splat(bits - position - length, bits));
    Value* down = e.splat(bits - length, bits);
    return e.write(0u, extend ? ir.CreateAShr(top, down) : ir.CreateLShr(top, down));
  }
  Value* result = e.room(bits);
  e.call(bits == 32 ? "octavo_bfe_32" : "octavo_bfe_64",
         {result, e.spill(a), e.spill(e.source(2, 32)), e.spill(e.source(3, 32)),
          e.number(extend ? 1 : 0)});
  e.write(0u, e.fetch(result, bits));
}

void lower_bfi(Emitter& e, const Step&) {
  auto& ir = e.ir();
  const unsigned bits = width(e);
  Value* a = e.source(1, bits);
  Value* b = e.source(2, bits);
  e.set_undefined_of_pack(std::span(e.instruction().operands).subspan(1, 2));
  std::uint64_t position = 0, length = 0;
  if (constant(e, 3, position) && constant(e, 4, length) && length != 0 &&
      position + length <= bits) {
    const std::uint64_t ones = length == 64 ? ~0ull : (1ull << length) - 1;
    Value* field = e.splat(ones << position, bits);
    Value* moved = ir.CreateAnd(ir.CreateShl(a, e.splat(position, bits)), field);
    return e.write(0u, ir.CreateOr(moved, ir.CreateAnd(b, ir.CreateNot(field))));
  }
  Value* result = e.room(bits);
  e.call(bits == 32 ? "octavo_bfi_32" : "octavo_bfi_64",
         {result, e.spill(a), e.spill(b), e.spill(e.source(3, 32)), e.spill(e.source(4, 32))});
  e.write(0u, e.fetch(result, bits));
}

// b ones from bit a upwards.
void lower_bmsk(Emitter& e, const Step&) {
  auto& ir = e.ir();
  const auto count = [&](std::size_t i) {
    Value* value = e.source(i, 32);
    value = e.instruction().has("wrap")
                ? ir.CreateAnd(value, e.splat(31, 32))
                : ir.CreateBinaryIntrinsic(llvm::Intrinsic::umin, value, e.splat(32, 32));
    return ir.CreateZExt(value, e.lanes(64));
  };
  Value* ones = ir.CreateSub(ir.CreateShl(e.splat(1, 64), count(2)), e.splat(1, 64));
  e.write(0u, ir.CreateTrunc(ir.CreateShl(ones, count(1)), e.lanes(32)));
}

void lower_fns(Emitter& e, const Step&) {
  Value* result = e.room(32);
  e.call("octavo_fns",
         {result, e.spill(e.source(1, 32)), e.spill(e.source(2, 32)), e.spill(e.source(3, 32))});
  e.write(0u, e.fetch(result, 32));
}

void lower_prmt(Emitter& e, const Step&) {
  auto& ir = e.ir();
  static constexpr const char* kModes[] = {"f4e", "b4e", "rc8", "ecl", "ecr", "rc16"};
  std::uint32_t mode = 0;
  for (std::uint32_t i = 0; i < 6; ++i) {
    if (e.instruction().has(kModes[i])) mode = i + 1;
  }
  Value* a = e.source(1, 32);
  Value* b = e.source(2, 32);
  e.set_undefined_of_pack(std::span(e.instruction().operands).subspan(1, 2));
  std::uint64_t selector = 0;
  if (mode == 0 && constant(e, 3, selector) && (selector & 0x8888) == 0) {
    auto* bytes = llvm::FixedVectorType::get(ir.getInt8Ty(), 4 * kLanes);
    std::vector<int> order;
    for (unsigned i = 0; i < 4 * kLanes; ++i) {
      const auto pick = static_cast<unsigned>(selector >> (4 * (i % 4)) & 7);
      order.push_back(static_cast<int>(i / 4 * 4 + pick % 4 + (pick < 4 ? 0 : 4 * kLanes)));
    }
    Value* mixed =
        ir.CreateShuffleVector(ir.CreateBitCast(a, bytes), ir.CreateBitCast(b, bytes), order);
    return e.write(0u, ir.CreateBitCast(mixed, e.lanes(32)));
  }
  Value* result = e.room(32);
  e.call("octavo_prmt", {result, e.spill(a), e.spill(b), e.spill(e.source(3, 32)), e.number(mode)});
  e.write(0u, e.fetch(result, 32));
}

}  // namespace octavo::emulator::lower
