// Barriers of a block and of a cluster, addresses in a cluster, and registers passed between warps.
#include <cstddef>

#include "execute/warp.hpp"
#include "lower/emitter.hpp"
#include "lower/families.hpp"

namespace octavo::emulator::lower {
namespace {

using llvm::Value;
using ptx::Operand;

BarrierOperation operation_of(const ptx::Instruction& instruction) {
  const bool arrives = instruction.has("arrive");
  if (instruction.has("cluster")) {
    if (!arrives) return BarrierOperation::cluster_wait;
    return instruction.has("relaxed") ? BarrierOperation::cluster_arrive_relaxed
                                      : BarrierOperation::cluster_arrive;
  }
  if (instruction.has("red")) return BarrierOperation::reduce;
  return arrives ? BarrierOperation::arrive : BarrierOperation::sync;
}

// What the barrier's functions are told: operation, barrier, threads and predicate.
struct Arguments {
  Value *operation, *id, *threads, *predicate;
};

Arguments barrier_arguments(Emitter& e) {
  const auto& operands = e.instruction().operands;
  const BarrierOperation operation = operation_of(e.instruction());
  Arguments result{e.number(static_cast<std::uint32_t>(operation)), e.null(), e.null(),
                   e.number(0)};
  if (operands.empty()) return result;  // a cluster's barrier
  const bool reduces = operation == BarrierOperation::reduce;
  const std::size_t id = reduces ? 1 : 0, count = operands.size() - (reduces ? 1 : 0);
  result.id = e.spill(e.source(id, 32));
  if (count > id + 1) result.threads = e.spill(e.source(id + 1, 32));
  if (reduces) result.predicate = e.ballot(e.source_predicate(operands.back()));
  e.require_defined(e.undefined(), Use::operand, e.running());
  return result;
}

void write_result(Emitter& e) {
  e.set_undefined(e.number(0));
  const std::size_t which = e.instruction().has("popc") ? 0 : e.instruction().has("and") ? 1 : 2;
  e.write(0u,
          e.splat(e.load_member(e.ir().getInt32Ty(), offsetof(Warp, barrier_result) + 4 * which)));
}

bool is_generic(const ptx::Instruction& instruction) { return !instruction.has("shared::cluster"); }

}  // namespace

void lower_barrier(Emitter& e, const Step&) {
  const Arguments arguments = barrier_arguments(e);
  e.mark_line();
  e.call("octavo_barrier",
         {e.warp(), arguments.operation, arguments.id, arguments.threads, arguments.predicate});
  if (e.instruction().has("red")) write_result(e);
}

void lower_barrier_lanes(Emitter& e, const Step&) {
  const Arguments arguments = barrier_arguments(e);
  e.store_live();
  e.mark_line();
  e.call("octavo_barrier_lanes", {e.warp(), arguments.operation, arguments.id, arguments.threads,
                                  arguments.predicate, e.number(e.block() + 1)});
  e.dispatch();
}

// Not written in any PTX: follows each barrier.red that is not aligned.
void lower_barrier_result(Emitter& e, const Step&) { write_result(e); }

void lower_mapa(Emitter& e, const Step&) {
  const unsigned bits = bits_of(e.instruction().type());
  auto& ir = e.ir();
  Value* address = ir.CreateZExt(e.source(1, bits), e.lanes(64));
  Value* rank = e.spill(e.source(2, 32));
  e.require_defined(e.undefined(), Use::operand, e.mask());
  Value* result = e.room(64);
  e.mark_line();
  e.call("octavo_mapa", {e.warp(), e.mask(), result, e.spill(address), rank,
                         e.number(is_generic(e.instruction()) ? 1 : 0)});
  e.write(0u, ir.CreateTrunc(e.fetch(result, 64), e.lanes(bits)));
}

void lower_getctarank(Emitter& e, const Step&) {
  const unsigned bits = bits_of(e.instruction().type());
  Value* address = e.ir().CreateZExt(e.source(1, bits), e.lanes(64));
  e.require_defined(e.undefined(), Use::operand, e.mask());
  Value* result = e.room(32);
  e.mark_line();
  e.call("octavo_getctarank", {e.warp(), e.mask(), result, e.spill(address),
                               e.number(is_generic(e.instruction()) ? 1 : 0)});
  e.write(0u, e.fetch(result, 32));
}

void lower_setmaxnreg(Emitter& e, const Step&) {
  const auto& instruction = e.instruction();
  const Operand& count = instruction.operands[0];
  if (count.kind != Operand::Kind::immediate || count.bits < 24 || count.bits > 256 ||
      count.bits % 8 != 0) {
    reject(instruction, "the number of registers must be a multiple of 8 from 24 to 256");
  }
  e.mark_line();
  e.call(instruction.has("inc") ? "octavo_acquire_registers" : "octavo_release_registers",
         {e.warp(), e.number(static_cast<std::uint32_t>(count.bits))});
}

}  // namespace octavo::emulator::lower
