// setp, set, selp, slct.
#include "lower/families.hpp"
#include "lower/numbers.hpp"

namespace octavo::emulator::lower {
namespace {

using llvm::CmpInst;
using llvm::Value;
using ptx::Type;

struct Comparison {
  std::string_view name;
  CmpInst::Predicate as_signed, as_unsigned, as_float;
};

constexpr CmpInst::Predicate kNone = CmpInst::BAD_ICMP_PREDICATE;

constexpr Comparison kComparisons[] = {
    {"eq", CmpInst::ICMP_EQ, CmpInst::ICMP_EQ, CmpInst::FCMP_OEQ},
    {"ne", CmpInst::ICMP_NE, CmpInst::ICMP_NE, CmpInst::FCMP_ONE},
    {"lt", CmpInst::ICMP_SLT, CmpInst::ICMP_ULT, CmpInst::FCMP_OLT},
    {"le", CmpInst::ICMP_SLE, CmpInst::ICMP_ULE, CmpInst::FCMP_OLE},
    {"gt", CmpInst::ICMP_SGT, CmpInst::ICMP_UGT, CmpInst::FCMP_OGT},
    {"ge", CmpInst::ICMP_SGE, CmpInst::ICMP_UGE, CmpInst::FCMP_OGE},
    {"lo", kNone, CmpInst::ICMP_ULT, kNone},
    {"ls", kNone, CmpInst::ICMP_ULE, kNone},
    {"hi", kNone, CmpInst::ICMP_UGT, kNone},
    {"hs", kNone, CmpInst::ICMP_UGE, kNone},
    {"equ", kNone, kNone, CmpInst::FCMP_UEQ},
    {"neu", kNone, kNone, CmpInst::FCMP_UNE},
    {"ltu", kNone, kNone, CmpInst::FCMP_ULT},
    {"leu", kNone, kNone, CmpInst::FCMP_ULE},
    {"gtu", kNone, kNone, CmpInst::FCMP_UGT},
    {"geu", kNone, kNone, CmpInst::FCMP_UGE},
    {"num", kNone, kNone, CmpInst::FCMP_ORD},
    {"nan", kNone, kNone, CmpInst::FCMP_UNO},
};

CmpInst::Predicate comparison(Emitter& e, Type type) {
  for (const auto& modifier : e.instruction().modifiers) {
    for (const auto& [name, as_signed, as_unsigned, as_float] : kComparisons) {
      if (name != modifier) continue;
      const auto found = is_float(type) || is_half(type) ? as_float
                         : is_signed(type)               ? as_signed
                                                         : as_unsigned;
      if (found == kNone) reject(e.instruction(), "this comparison does not fit the type");
      return found;
    }
  }
  reject(e.instruction(), "needs a comparison");
}

// Operand i as what is compared.
Value* comparand(Emitter& e, std::size_t i, Type type) {
  if (is_half(type)) return widen_half(e, e.source(i, bits_of(type)), type);
  if (!is_float(type)) return e.source(i, bits_of(type));
  Value* value = e.source_float(i, type, true);
  return type == Type::f32 && e.instruction().has("ftz") ? flush_subnormals(e, value) : value;
}

// A comparison's result joined with the optional predicate that is operand i.
Value* joined(Emitter& e, Value* result, std::size_t i) {
  if (i >= e.instruction().operands.size()) return result;
  Value* other = e.source_predicate(e.instruction().operands[i]);
  if (e.instruction().has("and")) return e.ir().CreateAnd(result, other);
  if (e.instruction().has("or")) return e.ir().CreateOr(result, other);
  if (e.instruction().has("xor")) return e.ir().CreateXor(result, other);
  reject(e.instruction(), "needs .and, .or or .xor for its third source");
}

}  // namespace

void lower_setp(Emitter& e, const Step&) {
  auto& ir = e.ir();
  const Type type = type_of(e);
  const std::size_t first = e.instruction().pair ? 2 : 1;
  Value* condition =
      ir.CreateCmp(comparison(e, type), comparand(e, first, type), comparand(e, first + 1, type));
  if (is_packed(type)) {
    if (!e.instruction().pair) reject(e.instruction(), "needs two destinations");
    for (int half = 0; half < 2; ++half) {
      std::vector<int> lanes;
      for (int i = 0; i < static_cast<int>(kLanes); ++i) lanes.push_back(2 * i + half);
      Value* result = e.predicate(ir.CreateShuffleVector(condition, lanes));
      e.write(static_cast<std::size_t>(half), joined(e, result, first + 2));
    }
    return;
  }
  Value* result = e.predicate(condition);
  Value* second = e.instruction().pair ? joined(e, ir.CreateNot(result), first + 2) : nullptr;
  e.write(0u, joined(e, result, first + 2));
  if (second != nullptr) e.write(1, second);
}

namespace {

// The comparisons of both halves, side by side: 1.0, or all ones in an integer.
void set_pair(Emitter& e, Type to, Value* condition) {
  auto& ir = e.ir();
  if (bits_of(to) != 32) reject(e.instruction(), "the results of a pair take 32 bits");
  if (e.instruction().operands.size() > 3)
    refuse(e.instruction(), "a third source is not supported");
  auto* halves = like(condition, ir.getInt16Ty());
  Value* one = llvm::ConstantInt::get(halves, to == Type::f16x2    ? 0x3C00
                                              : to == Type::bf16x2 ? 0x3F80
                                                                   : 0xFFFF);
  Value* result = ir.CreateAnd(ir.CreateSExt(condition, halves), one);
  e.write(0u, ir.CreateBitCast(result, e.lanes(32)));
}

}  // namespace

void lower_set(Emitter& e, const Step&) {
  auto& ir = e.ir();
  const Type to = e.instruction().type(0), type = e.instruction().type(1);
  if (type == Type::none) reject(e.instruction(), "needs two types");
  Value* condition =
      ir.CreateCmp(comparison(e, type), comparand(e, 1, type), comparand(e, 2, type));
  if (is_packed(type)) return set_pair(e, to, condition);
  Value* result = joined(e, e.predicate(condition), 3);
  const unsigned bits = bits_of(to);
  const std::uint64_t one = to == Type::f32    ? 0x3F800000
                            : to == Type::f16  ? 0x3C00
                            : to == Type::bf16 ? 0x3F80
                                               : ~0ull;
  e.write(0u, ir.CreateSelect(e.condition(result), e.splat(one, bits), e.splat(0, bits)));
}

namespace {

// Operand 1 where the predicate holds, else operand 2; what is not chosen may be undefined.
void choose(Emitter& e, Value* predicate, unsigned bits) {
  Value* of_condition = e.undefined();
  Value* value = e.merge(predicate, e.source(1, bits), e.source(2, bits));
  Value* first = e.undefined_lanes(e.instruction().operands[1]);
  Value* second = e.undefined_lanes(e.instruction().operands[2]);
  Value* takes_first = e.ballot(predicate);
  e.set_undefined(
      e.either(of_condition, e.either(e.both(first, takes_first), e.without(second, takes_first))));
  e.write(0u, value);
}

}  // namespace

void lower_selp(Emitter& e, const Step&) {
  choose(e, e.source_predicate(e.instruction().operands[3]), bits_of(type_of(e)));
}

void lower_slct(Emitter& e, const Step&) {
  auto& ir = e.ir();
  const unsigned bits = bits_of(type_of(e));
  Value* not_negative;
  if (e.instruction().type(1) == Type::f32) {
    Value* c = comparand(e, 3, Type::f32);
    not_negative = ir.CreateFCmpOGE(c, llvm::Constant::getNullValue(c->getType()));
  } else {
    not_negative = ir.CreateICmpSGE(e.source(3, 32), e.splat(0, 32));
  }
  choose(e, e.predicate(not_negative), bits);
}

}  // namespace octavo::emulator::lower
