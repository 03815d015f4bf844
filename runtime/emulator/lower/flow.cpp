// A kernel's control flow. Each basic block is a function that ends by calling the next in place of
// itself: what they share is in the warp and its frame anyway, and a host compiler's time grows
// faster than a function's length. Lanes that part wait for a block each (Warp::next); `dispatch`
// runs the lowest such block with the lanes that wait for it. While all live lanes are together,
// blocks go on to one another directly.
#include <cstddef>

#include "execute/warp.hpp"
#include "lower/emitter.hpp"

namespace octavo::emulator::lower {

llvm::Function* Emitter::add_function(const llvm::Twine& name,
                                      llvm::GlobalValue::LinkageTypes linkage) {
  auto* type = llvm::FunctionType::get(ir_.getVoidTy(), {ir_.getPtrTy(), ir_.getPtrTy()}, false);
  auto* function = llvm::Function::Create(type, linkage, name, module_);
  function->setDoesNotThrow();
  for (unsigned i : {0u, 1u}) {
    function->addParamAttr(i, llvm::Attribute::NoAlias);
    function->addParamAttr(
        i, llvm::Attribute::getWithAlignment(module_.getContext(), llvm::Align(64)));
  }
  return function;
}

void Emitter::begin(llvm::Function* function) {
  function_ = function;
  warp_ = function->getArg(0);
  frame_ = function->getArg(1);
  ir_.SetInsertPoint(llvm::BasicBlock::Create(module_.getContext(), "", function));
}

void Emitter::go(llvm::FunctionCallee target) {
  auto* call = ir_.CreateCall(target, {warp_, frame_});
  call->setTailCallKind(llvm::CallInst::TCK_MustTail);
  ir_.CreateRetVoid();
}

llvm::BasicBlock* Emitter::add_block() {
  return llvm::BasicBlock::Create(module_.getContext(), "", function_);
}

void Emitter::emit(const std::string& symbol) {
  for (std::size_t b = 0; b < graph_.blocks.size(); ++b) {
    blocks_.push_back(add_function("block", llvm::Function::InternalLinkage));
  }
  dispatch_ = add_function("dispatch", llvm::Function::InternalLinkage);
  values_.assign(graph_.registers.size(), nullptr);
  any_nan_.assign(graph_.registers.size(), false);
  undefined_lanes_.assign(graph_.registers.size(), nullptr);
  is_written_.assign(graph_.registers.size(), false);
  for (std::uint32_t b = 0; b < graph_.blocks.size(); ++b) emit_block(b);

  std::vector<llvm::Constant*> entries(blocks_.begin(), blocks_.end());
  auto* type = llvm::ArrayType::get(ir_.getPtrTy(), entries.size());
  auto* table = new llvm::GlobalVariable(module_, type, true, llvm::GlobalValue::InternalLinkage,
                                         llvm::ConstantArray::get(type, entries), "blocks");
  begin(dispatch_);
  Value* chosen =
      ir_.CreateZExt(call("octavo_dispatch", ir_.getInt32Ty(), {warp_}), ir_.getInt64Ty());
  Value* entry = ir_.CreateInBoundsGEP(ir_.getPtrTy(), table, {chosen});
  go({dispatch_->getFunctionType(), ir_.CreateLoad(ir_.getPtrTy(), entry)});

  begin(add_function(symbol, llvm::Function::ExternalLinkage));
  go(blocks_[0]);
}

void Emitter::emit_block(std::uint32_t number) {
  block_ = number;
  for (const ptx::RegisterId reg : known_) {
    values_[reg] = nullptr;
    any_nan_[reg] = false;
  }
  for (const ptx::RegisterId reg : masked_) undefined_lanes_[reg] = nullptr;
  for (const ptx::RegisterId reg : written_) is_written_[reg] = false;
  known_.clear();
  masked_.clear();
  written_.clear();
  mask_ = mask_lanes_ = nullptr;
  step_ = nullptr;
  begin(blocks_[number]);
  const BasicBlock& block = graph_.blocks[number];
  if (!block.converged && (block.all_lanes || block.members != nullptr)) emit_entry_check(block);
  count_instructions(block);
  for (std::uint32_t s = block.first; s < block.last; ++s) {
    begin_step(graph_.steps[s]);
    check_in_flight();
    step_->row->lower(*this, *step_);
    note_fragments();
  }
  if (ir_.GetInsertBlock()->getTerminator() == nullptr) {
    store_live();
    jump(number + 1);
  }
}

void Emitter::begin_step(const Step& step) {
  step_ = &step;
  scratch_used_ = 0;
  undefined_ = number(0);
}

void Emitter::count_instructions(const BasicBlock& block) {
  constexpr std::size_t kOffset = offsetof(Warp, instructions);
  Value* before = load_member(ir_.getInt64Ty(), kOffset);
  ir_.CreateStore(ir_.CreateAdd(before, ir_.getInt64(block.last - block.first)), member(kOffset));
}

Emitter::Value* Emitter::is_converged() {
  Value* live = load_member(ir_.getInt32Ty(), offsetof(Warp, live));
  return ir_.CreateICmpEQ(running(), live);
}

void Emitter::emit_entry_check(const BasicBlock& block) {
  begin_step(graph_.steps[block.first]);
  auto* body = add_block();
  auto* apart = add_block();
  auto* parked = add_block();
  // Read before the paths part: what is loaded here is known in both.
  Value* members = block.all_lanes ? splat(~0ull, 32) : source(*block.members, 32);
  ir_.CreateCondBr(is_converged(), body, apart);
  ir_.SetInsertPoint(apart);
  mark_line();
  Value* met = call("octavo_gather", ir_.getInt32Ty(), {warp_, spill(members), number(block_)});
  ir_.CreateCondBr(ir_.CreateICmpNE(met, ir_.getInt32(0)), body, parked);
  ir_.SetInsertPoint(parked);
  dispatch();
  ir_.SetInsertPoint(body);
}

void Emitter::store_live() {
  const BasicBlock& block = graph_.blocks[block_];
  for (const ptx::RegisterId reg : written_) {
    if (!block.live_out[reg]) continue;
    Value* slot = ir_.CreateConstInBoundsGEP1_64(ir_.getInt8Ty(), frame_, graph_.slots[reg]);
    Value* value = read_register(reg);
    // Lanes that have exited need no values, so where all live lanes run, all lanes are written.
    if (!converged()) {
      Value* old = ir_.CreateAlignedLoad(value->getType(), slot, llvm::Align(32));
      value = merge(mask_lanes(), value, old);
    }
    ir_.CreateAlignedStore(value, slot, llvm::Align(32));
    store_undefined(reg);
  }
}

void Emitter::set_next(Value* blocks) {
  Value* next = member(offsetof(Warp, next));
  Value* old = ir_.CreateAlignedLoad(lanes(32), next, llvm::Align(32));
  ir_.CreateAlignedStore(ir_.CreateSelect(condition(mask_lanes()), blocks, old), next,
                         llvm::Align(32));
}

void Emitter::dispatch() { go(dispatch_); }

void Emitter::jump_converged(std::uint32_t target) {
  if (target > block_) return go(blocks_[target]);
  auto* spent = add_block();
  auto* within = add_block();
  Value* budget = member(offsetof(Warp, budget));
  Value* left = ir_.CreateSub(ir_.CreateLoad(ir_.getInt32Ty(), budget), ir_.getInt32(1));
  ir_.CreateStore(left, budget);
  ir_.CreateCondBr(ir_.CreateICmpSLT(left, ir_.getInt32(0)), spent, within);
  ir_.SetInsertPoint(spent);
  mark_line();
  call("octavo_budget", {warp_});
  ir_.CreateBr(within);
  ir_.SetInsertPoint(within);
  go(blocks_[target]);
}

void Emitter::jump(std::uint32_t target) {
  if (converged()) return jump_converged(target);
  auto* together = add_block();
  auto* apart = add_block();
  // Both paths use it, so it is loaded before they part.
  mask_lanes();
  ir_.CreateCondBr(is_converged(), together, apart);
  ir_.SetInsertPoint(apart);
  if (target <= block_) mark_line();
  set_next(splat(target, 32));
  dispatch();
  ir_.SetInsertPoint(together);
  jump_converged(target);
}

void Emitter::branch(Value* taken, std::uint32_t target, std::uint32_t otherwise) {
  auto* apart = add_block();
  auto* uniform = add_block();
  auto* all = add_block();
  auto* none = add_block();
  // Both paths use them, so they are loaded before the paths part.
  Value* together = converged() ? ir_.getTrue() : is_converged();
  mask_lanes();
  Value* bits = ir_.CreateAnd(ballot(taken), running());
  Value* is_all = ir_.CreateICmpEQ(bits, running());
  Value* agree = ir_.CreateOr(is_all, ir_.CreateICmpEQ(bits, ir_.getInt32(0)));
  ir_.CreateCondBr(ir_.CreateAnd(together, agree), uniform, apart);
  ir_.SetInsertPoint(apart);
  if (target <= block_) mark_line();
  set_next(ir_.CreateSelect(condition(taken), splat(target, 32), splat(otherwise, 32)));
  dispatch();
  ir_.SetInsertPoint(uniform);
  ir_.CreateCondBr(is_all, all, none);
  ir_.SetInsertPoint(all);
  jump_converged(target);
  ir_.SetInsertPoint(none);
  jump_converged(otherwise);
}

void Emitter::leave() {
  Value* others = call("octavo_exit", ir_.getInt32Ty(), {warp_, running()});
  auto* some = add_block();
  auto* none = add_block();
  ir_.CreateCondBr(ir_.CreateICmpNE(others, ir_.getInt32(0)), some, none);
  ir_.SetInsertPoint(some);
  dispatch();
  ir_.SetInsertPoint(none);
  ir_.CreateRetVoid();
}

}  // namespace octavo::emulator::lower
