// What the emitter writes down of undefined values: beside a register's value an i32 with the lanes
// in which it is undefined. Most are known to be zero, and cost nothing.
#include <algorithm>
#include <cstddef>

#include "execute/warp.hpp"
#include "lower/emitter.hpp"

namespace octavo::emulator::lower {
namespace {

bool is_zero(const llvm::Value* mask) {
  const auto* constant = llvm::dyn_cast<llvm::ConstantInt>(mask);
  return constant != nullptr && constant->isZero();
}

}  // namespace

Emitter::Value* Emitter::either(Value* a, Value* b) {
  if (is_zero(a) || a == b) return b;
  return is_zero(b) ? a : ir_.CreateOr(a, b);
}

Emitter::Value* Emitter::both(Value* a, Value* b) {
  if (is_zero(a) || a == b) return a;
  return is_zero(b) ? b : ir_.CreateAnd(a, b);
}

Emitter::Value* Emitter::without(Value* a, Value* b) {
  return is_zero(a) || is_zero(b) ? a : ir_.CreateAnd(a, ir_.CreateNot(b));
}

Emitter::Value* Emitter::undefined_lanes(ptx::RegisterId reg) {
  Value*& mask = undefined_lanes_[reg];
  if (mask != nullptr) return mask;
  masked_.push_back(reg);
  if (!graph_.blocks[block_].undefined_in[reg]) return mask = number(0);
  if (graph_.mask_slots[reg] == kNoSlot) return mask = number(~0u);
  return mask = ir_.CreateLoad(
             ir_.getInt32Ty(),
             ir_.CreateConstInBoundsGEP1_64(ir_.getInt8Ty(), frame_, graph_.mask_slots[reg]));
}

Emitter::Value* Emitter::undefined_lanes(const ptx::Operand& operand) {
  if (operand.kind == ptx::Operand::Kind::vector) {
    Value* any = number(0);
    for (const ptx::Operand& element : operand.elements)
      any = either(any, undefined_lanes(element));
    return any;
  }
  return operand.kind == ptx::Operand::Kind::reg ? undefined_lanes(operand.reg) : number(0);
}

void Emitter::write_undefined(ptx::RegisterId reg, Value* guard) {
  Value* mask = undefined_;
  if (guard != nullptr) {
    Value* old = undefined_lanes(reg);
    if (!is_zero(mask) || !is_zero(old)) {
      Value* written = ballot(guard);
      mask = either(both(mask, written), without(old, written));
    }
    mask = either(mask, undefined_lanes(instruction().guard));
  }
  if (undefined_lanes_[reg] == nullptr) masked_.push_back(reg);
  undefined_lanes_[reg] = mask;
}

void Emitter::store_undefined(ptx::RegisterId reg) {
  if (graph_.mask_slots[reg] == kNoSlot) return;
  Value* slot = ir_.CreateConstInBoundsGEP1_64(ir_.getInt8Ty(), frame_, graph_.mask_slots[reg]);
  Value* mask = undefined_lanes(reg);
  if (!converged()) {
    Value* old = ir_.CreateLoad(ir_.getInt32Ty(), slot);
    mask = either(both(mask, running()), without(old, running()));
  }
  ir_.CreateStore(mask, slot);
}

void Emitter::set_undefined_of_pack(std::span<const ptx::Operand> parts) {
  Value* all = nullptr;
  for (const ptx::Operand& part : parts) {
    if (part.kind != ptx::Operand::Kind::reg) continue;
    all = all == nullptr ? undefined_lanes(part) : both(all, undefined_lanes(part));
  }
  if (all != nullptr) undefined_ = all;
}

void Emitter::require_defined(Value* undefined, Use use, Value* lanes) {
  if (is_zero(undefined)) return;
  Value* wrong = ir_.CreateAnd(undefined, lanes);
  auto* report = add_block();
  auto* well = add_block();
  ir_.CreateCondBr(ir_.CreateICmpNE(wrong, number(0)), report, well);
  ir_.SetInsertPoint(report);
  mark_line();
  call("octavo_undefined", {warp(), wrong, number(static_cast<std::uint32_t>(use))});
  ir_.CreateUnreachable();
  ir_.SetInsertPoint(well);
}

void Emitter::require_register(ptx::RegisterId reg, Use use, bool for_all) {
  require_defined(undefined_lanes(reg), use, for_all ? running() : mask());
  // Or the launch has ended.
  if (for_all || !instruction().guarded) undefined_lanes_[reg] = number(0);
}

Emitter::Value* Emitter::spill_masks(std::span<Value* const> masks) {
  if (std::all_of(masks.begin(), masks.end(), is_zero)) return null();
  Value* memory = room_for_masks(static_cast<unsigned>(masks.size()));
  for (unsigned i = 0; i < masks.size(); ++i)
    ir_.CreateStore(masks[i], ir_.CreateConstInBoundsGEP1_64(ir_.getInt32Ty(), memory, i));
  return memory;
}

Emitter::Value* Emitter::room_for_masks(unsigned count) { return scratch(4 * count); }

Emitter::Value* Emitter::fetch_mask(Value* room, unsigned index) {
  return ir_.CreateLoad(ir_.getInt32Ty(),
                        ir_.CreateConstInBoundsGEP1_64(ir_.getInt32Ty(), room, index));
}

}  // namespace octavo::emulator::lower
