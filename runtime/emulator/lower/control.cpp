// Branches, calls and exits.
#include <llvm/IR/Constants.h>

#include <algorithm>
#include <cstddef>

#include "execute/warp.hpp"
#include "lower/emitter.hpp"
#include "lower/families.hpp"

namespace octavo::emulator::lower {
namespace {

using llvm::Value;
using ptx::Operand;

// An array of constants in the module.
template <typename T>
Value* table(Emitter& e, const std::vector<T>& values) {
  auto& ir = e.ir();
  auto* data = llvm::ConstantDataArray::get(ir.getContext(), values);
  auto* variable =
      new llvm::GlobalVariable(*ir.GetInsertBlock()->getModule(), data->getType(), true,
                               llvm::GlobalValue::PrivateLinkage, data, "targets");
  return variable;
}

// A variable's addresses in local memory, `further` bytes beyond its function's frame.
Value* local_address(Emitter& e, const Place& place, std::uint32_t further = 0) {
  auto& ir = e.ir();
  if (place.kind == Place::Kind::local) return e.splat(place.offset, 64);
  Value* frame = ir.CreateZExt(e.load_member(e.lanes(32), offsetof(Warp, stack)), e.lanes(64));
  return ir.CreateAdd(frame, e.splat(place.offset + further, 64));
}

// The place of a local variable, of `bytes` bytes if that is not 0.
const Place& local_place(Emitter& e, std::uint32_t function, const std::string& name,
                         std::uint64_t bytes = 0) {
  const Place* place = e.graph().find_place(function, name);
  if (place == nullptr || !place->is_local() || (bytes != 0 && place->bytes != bytes)) {
    reject(e.instruction(), "an argument does not match its parameter");
  }
  return *place;
}

void copy_local(Emitter& e, Value* to, Value* from, std::uint64_t bytes) {
  e.call("octavo_copy_local", {e.warp(), e.mask(), e.spill(to), e.spill(from),
                               e.number(static_cast<std::uint32_t>(bytes))});
}

// Calls push a frame if the caller has one to keep or the callee needs one.
bool uses_frame(Emitter& e, const Step& step) {
  const auto& frames = e.graph().frames;
  return frames[step.function].on_stack ||
         std::any_of(step.callees.begin(), step.callees.end(),
                     [&](std::uint32_t callee) { return frames[callee].on_stack; });
}

// How far the callee's frame lies beyond the caller's.
std::uint32_t frame_step(Emitter& e, const Step& step) {
  return uses_frame(e, step) ? e.graph().frames[step.function].bytes + kFrameHeader : 0;
}

Value* value_of(Emitter& e, ptx::RegisterId reg) {
  Operand operand;
  operand.kind = Operand::Kind::reg;
  operand.reg = reg;
  const ptx::Type type = e.graph().registers[reg].type;
  return type == ptx::Type::pred ? e.source_predicate(operand) : e.source(operand, bits_of(type));
}

void save_registers(Emitter& e, const Step& step) {
  std::uint32_t offset = e.graph().frames[step.function].variable_bytes;
  for (const ptx::RegisterId reg : step.saved) {
    const std::uint32_t bytes = saved_bytes(e.graph().registers[reg]);
    e.call("octavo_save_register",
           {e.warp(), e.mask(), e.spill(value_of(e, reg)), e.number(offset), e.number(bytes)});
    offset += bytes;
  }
}

void restore_registers(Emitter& e, const Step& step) {
  std::uint32_t offset = e.graph().frames[step.function].variable_bytes;
  for (const ptx::RegisterId reg : step.saved) {
    const std::uint32_t bytes = saved_bytes(e.graph().registers[reg]);
    // The lanes that did not call keep what they have.
    Value* values = e.spill(value_of(e, reg));
    e.call("octavo_restore_register",
           {e.warp(), e.mask(), values, e.number(offset), e.number(bytes)});
    e.set_undefined(e.number(0));
    e.write_register(reg, e.fetch(values, bytes * 8));
    offset += bytes;
  }
}

// The i-th argument of a call to the device's runtime.
Value* argument(Emitter& e, std::size_t i, unsigned bits) {
  const auto& names = e.instruction().call_arguments;
  if (i >= names.size()) reject(e.instruction(), "has too few arguments");
  const Place& place = local_place(e, e.step().function, names[i], bits / 8);
  Value* result = e.room(bits);
  e.call(bits == 64 ? "octavo_load_local_8" : "octavo_load_local_4",
         {e.warp(), e.mask(), e.spill(local_address(e, place)), e.number64(0), result, e.number(1),
          e.number(0), e.room_for_masks(1)});
  return result;
}

void store_result(Emitter& e, Value* result, unsigned bits) {
  if (e.instruction().call_results.empty()) return;
  const Place& place = local_place(e, e.step().function, e.instruction().call_results[0], bits / 8);
  e.call(bits == 64 ? "octavo_store_local_8" : "octavo_store_local_4",
         {e.warp(), e.mask(), e.spill(local_address(e, place)), e.number64(0), result, e.number(1),
          e.null()});
}

void call_runtime(Emitter& e, const std::string& name) {
  if (name == "vprintf") {
    Value* result = e.room(32);
    e.call("octavo_printf", {e.warp(), e.mask(), result, argument(e, 0, 64), argument(e, 1, 64)});
    return store_result(e, result, 32);
  }
  if (name == "malloc") {
    Value* result = e.room(64);
    e.call("octavo_malloc", {e.warp(), e.mask(), result, argument(e, 0, 64)});
    return store_result(e, result, 64);
  }
  if (name == "free") return e.call("octavo_free", {e.warp(), e.mask(), argument(e, 0, 64)});
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
  e.require_register(guard.reg, Use::branch, true);
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
  const Graph& graph = e.graph();
  e.mark_line();
  if (!is_call(step)) return call_runtime(e, instruction.callee);
  const bool by_address = instruction.callee.empty();
  Value* addresses = by_address ? e.spill(e.source(0u, 64)) : nullptr;
  e.require_defined(e.undefined(), Use::address, e.mask());
  const std::uint32_t beyond = frame_step(e, step);
  std::uint32_t needs = 0;
  for (const std::uint32_t callee : step.callees)
    needs = std::max(needs, graph.frames[callee].bytes);
  save_registers(e, step);
  if (uses_frame(e, step)) {
    e.call("octavo_check_stack", {e.warp(), e.mask(), e.number(beyond), e.number(needs)});
  }
  for (std::size_t i = 0; i < instruction.call_arguments.size() && !step.callees.empty(); ++i) {
    const std::uint32_t callee = step.callees[0];
    const Place& from = local_place(e, step.function, instruction.call_arguments[i]);
    const Place& to =
        local_place(e, callee, graph.functions[callee]->parameters[i].name, from.bytes);
    copy_local(e, local_address(e, to, beyond), local_address(e, from), from.bytes);
  }
  e.set_undefined(e.number(0));
  for (const std::uint32_t callee : step.callees) {
    e.write_register(graph.return_register[callee], e.splat(e.block() + 1, 32));
  }
  if (uses_frame(e, step)) e.call("octavo_push_frame", {e.warp(), e.mask(), e.number(beyond)});
  e.store_live();
  if (!by_address) return e.jump(step.targets[0]);
  std::vector<std::uint64_t> functions;
  for (const std::uint32_t callee : step.callees) {
    functions.push_back(*function_address(*graph.module, graph.functions[callee]->name));
  }
  e.call("octavo_call_address", {e.warp(), addresses, table(e, functions), table(e, step.targets),
                                 e.number(static_cast<std::uint32_t>(functions.size()))});
  e.dispatch();
}

// Not written in any PTX: follows each call, where the callee returns to.
void lower_call_result(Emitter& e, const Step& step) {
  const Graph& graph = e.graph();
  const std::uint32_t beyond = frame_step(e, step);
  if (uses_frame(e, step)) e.call("octavo_pop_frame", {e.warp(), e.mask(), e.number(beyond)});
  const auto& results = e.instruction().call_results;
  for (std::size_t i = 0; i < results.size() && !step.callees.empty(); ++i) {
    const std::uint32_t callee = step.callees[0];
    const Place& to = local_place(e, step.function, results[i]);
    const Place& from = local_place(e, callee, graph.functions[callee]->results[i].name, to.bytes);
    copy_local(e, local_address(e, to), local_address(e, from, beyond), to.bytes);
  }
  restore_registers(e, step);
}

// alloca's memory grows down from the end of the thread's stack, and goes when its function
// returns, with the frame that the call to it pushed.
void lower_alloca(Emitter& e, const Step&) {
  const auto& operands = e.instruction().operands;
  std::uint64_t alignment = 8;
  if (operands.size() == 3) {
    if (operands[2].kind != Operand::Kind::immediate || operands[2].bits == 0 ||
        (operands[2].bits & (operands[2].bits - 1)) != 0 || operands[2].bits > 128) {
      reject(e.instruction(), "the alignment is a power of two up to 128");
    }
    alignment = operands[2].bits;
  }
  const unsigned bits = bits_of(e.instruction().type());
  Value* size = e.ir().CreateZExtOrTrunc(e.source(1, bits), e.lanes(64));
  Value* result = e.room(64);
  e.mark_line();
  e.call("octavo_alloca", {e.warp(), e.mask(), result, e.spill(size),
                           e.number(static_cast<std::uint32_t>(alignment)),
                           e.number(e.graph().frames[e.step().function].bytes)});
  e.write(0u, e.ir().CreateZExtOrTrunc(e.fetch(result, 64), e.lanes(bits)));
}

void lower_stacksave(Emitter& e, const Step&) {
  const unsigned bits = bits_of(e.instruction().type());
  Value* end = e.load_member(e.lanes(32), offsetof(Warp, stack_end));
  e.write(0u, e.ir().CreateZExt(end, e.lanes(bits)));
}

void lower_stackrestore(Emitter& e, const Step&) {
  Value* end = e.source(0u, bits_of(e.instruction().type()));
  e.mark_line();
  e.call("octavo_stack_restore",
         {e.warp(), e.mask(), e.spill(e.ir().CreateZExtOrTrunc(end, e.lanes(32)))});
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

void lower_griddepcontrol(Emitter& e, const Step& step) {
  const bool waits = step.instruction.has("wait");
  e.call(waits ? "octavo_wait_for_grid" : "octavo_let_dependents_begin", {e.warp()});
}

void lower_nanosleep(Emitter& e, const Step&) { e.call("octavo_nanosleep", {e.warp()}); }

}  // namespace octavo::emulator::lower
