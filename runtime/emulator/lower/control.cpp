// Branches, calls, exits, and barriers of a block.
#include <llvm/IR/Constants.h>

#include <algorithm>

#include "lower/emitter.hpp"
#include "lower/families.hpp"

namespace octavo::emulator::lower {
namespace {

using llvm::Value;
using ptx::Operand;

// An array of constants in the module.
Value* table(Emitter& e, const std::vector<std::uint32_t>& values) {
  auto& ir = e.ir();
  auto* data = llvm::ConstantDataArray::get(ir.getContext(), values);
  auto* variable =
      new llvm::GlobalVariable(*ir.GetInsertBlock()->getModule(), data->getType(), true,
                               llvm::GlobalValue::PrivateLinkage, data, "targets");
  return variable;
}

void copy_argument(Emitter& e, const Place* to, const Place* from) {
  if (to == nullptr || from == nullptr || to->kind != Place::Kind::local ||
      from->kind != Place::Kind::local || to->bytes != from->bytes) {
    reject(e.instruction(), "an argument does not match its parameter");
  }
  e.call("octavo_copy_local", {e.warp(), e.mask(), e.number(static_cast<std::uint32_t>(to->offset)),
                               e.number(static_cast<std::uint32_t>(from->offset)),
                               e.number(static_cast<std::uint32_t>(to->bytes))});
}

// The i-th argument of a call to the device's runtime.
Value* argument(Emitter& e, std::size_t i, unsigned bits) {
  const auto& names = e.instruction().call_arguments;
  const Place* place =
      i < names.size() ? e.graph().find_place(e.step().function, names[i]) : nullptr;
  if (place == nullptr || place->kind != Place::Kind::local || place->bytes != bits / 8) {
    reject(e.instruction(), "an argument does not match its parameter");
  }
  Value* result = e.room(bits);
  e.call(bits == 64 ? "octavo_load_local_8" : "octavo_load_local_4",
         {e.warp(), e.mask(), e.spill(e.splat(place->offset, 64)), e.number64(0), result,
          e.number(1), e.number(0), e.room_for_masks(1)});
  return result;
}

void call_printf(Emitter& e) {
  Value* result = e.room(32);
  e.call("octavo_printf", {e.warp(), e.mask(), result, argument(e, 0, 64), argument(e, 1, 64)});
  if (e.instruction().call_results.empty()) return;
  const Place* place = e.graph().find_place(e.step().function, e.instruction().call_results[0]);
  if (place == nullptr || place->kind != Place::Kind::local || place->bytes != 4) {
    reject(e.instruction(), "printf's result has 4 bytes");
  }
  e.call("octavo_store_local_4", {e.warp(), e.mask(), e.spill(e.splat(place->offset, 64)),
                                  e.number64(0), result, e.number(1), e.null()});
}

void call_assert(Emitter& e) {
  e.call("octavo_assert", {e.warp(), e.mask(), argument(e, 0, 64), argument(e, 1, 64),
                           argument(e, 2, 32), argument(e, 3, 64)});
}

void exit_lanes(Emitter& e) {
  e.store_live();
  e.leave();
}

}  // namespace

void lower_bra(Emitter& e, const Step& step) {
  const auto& instruction = e.instruction();
  if (!instruction.guarded) {
    e.store_live();
    return e.jump(step.targets[0]);
  }
  Operand guard;
  guard.kind = Operand::Kind::reg;
  guard.reg = instruction.guard;
  guard.negated = instruction.guard_negated;
  // Read first: where the guard is not needed after the branch, its slot may be another register's.
  Value* taken = e.source_predicate(guard);
  e.require_defined(e.undefined(), Use::branch, e.running());
  e.store_live();
  e.branch(taken, step.targets[0], e.block() + 1);
}

void lower_brx(Emitter& e, const Step& step) {
  Value* index = e.spill(e.source(0u, 32));
  e.require_defined(e.undefined(), Use::branch, e.running());
  e.store_live();
  e.mark_line();
  e.call("octavo_branch_table", {e.warp(), index, table(e, step.targets),
                                 e.number(static_cast<std::uint32_t>(step.targets.size()))});
  e.dispatch();
}

void lower_call(Emitter& e, const Step& step) {
  const auto& instruction = e.instruction();
  e.mark_line();
  if (instruction.callee == "vprintf") return call_printf(e);
  if (instruction.callee == "__assertfail") return call_assert(e);
  const std::uint32_t callee = step.targets[1];
  const ptx::Function& function = *e.graph().functions[callee];
  for (std::size_t i = 0; i < function.parameters.size(); ++i) {
    copy_argument(e, e.graph().find_place(callee, function.parameters[i].name),
                  e.graph().find_place(step.function, instruction.call_arguments[i]));
  }
  e.write_register(e.graph().return_register[callee], e.splat(e.block() + 1, 32));
  e.store_live();
  e.jump(step.targets[0]);
}

// Not written in any PTX: follows each call, where the callee returns to.
void lower_call_result(Emitter& e, const Step& step) {
  const auto& instruction = e.instruction();
  const auto& functions = e.graph().functions;
  const auto is_callee = [&](const ptx::Function* function) {
    return function->name == instruction.callee;
  };
  const auto callee = static_cast<std::uint32_t>(
      std::find_if(functions.begin(), functions.end(), is_callee) - functions.begin());
  for (std::size_t i = 0; i < instruction.call_results.size(); ++i) {
    copy_argument(e, e.graph().find_place(step.function, instruction.call_results[i]),
                  e.graph().find_place(callee, functions[callee]->results[i].name));
  }
}

void lower_ret(Emitter& e, const Step& step) {
  if (e.graph().functions[step.function]->entry) return exit_lanes(e);
  Operand address;
  address.kind = Operand::Kind::reg;
  address.reg = e.graph().return_register[step.function];
  Value* blocks = e.source(address, 32);
  e.store_live();
  e.set_next(blocks);
  e.dispatch();
}

void lower_exit(Emitter& e, const Step&) { exit_lanes(e); }

void lower_trap(Emitter& e, const Step&) {
  e.mark_line();
  e.call("octavo_trap", {e.warp(), e.mask()});
}

void lower_nanosleep(Emitter& e, const Step&) { e.call("octavo_nanosleep", {e.warp()}); }

namespace {

Value* thread_count(Emitter& e, std::size_t i, bool given) {
  return e.spill(given ? e.source(i, 32) : e.splat(0, 32));
}

}  // namespace

void lower_bar_sync(Emitter& e, const Step&) {
  e.mark_line();
  e.call("octavo_barrier_sync", {e.warp(), e.spill(e.source(0u, 32)),
                                 thread_count(e, 1, e.instruction().operands.size() == 2)});
}

void lower_bar_arrive(Emitter& e, const Step&) {
  e.mark_line();
  e.call("octavo_barrier_arrive", {e.warp(), e.spill(e.source(0u, 32)), thread_count(e, 1, true)});
}

void lower_bar_red(Emitter& e, const Step&) {
  const auto& operands = e.instruction().operands;
  const std::uint32_t reduction = e.instruction().has("popc")  ? 1
                                  : e.instruction().has("and") ? 2
                                                               : 3;
  Value* predicate = e.ballot(e.source_predicate(operands.back()));
  e.require_defined(e.undefined(), Use::operand, e.running());
  e.mark_line();
  Value* result =
      e.call("octavo_barrier_reduce", e.ir().getInt32Ty(),
             {e.warp(), e.spill(e.source(1, 32)), thread_count(e, 2, operands.size() == 4),
              predicate, e.number(reduction)});
  e.write(0u, e.splat(result));
}

}  // namespace octavo::emulator::lower
