// mbarriers, proxy fences, and what moves memory asynchronously.
#include "execute/access.hpp"
#include "execute/mbarrier.hpp"
#include "lower/emitter.hpp"
#include "lower/families.hpp"

namespace octavo::emulator::lower {
namespace {

using llvm::Value;
using ptx::Operand;

Value* window_of(Emitter& e) {
  const auto& instruction = e.instruction();
  const auto window = instruction.has("shared::cluster") ? SharedWindow::cluster
                      : instruction.has("shared") || instruction.has("shared::cta")
                          ? SharedWindow::cta
                          : SharedWindow::generic;
  return e.number(static_cast<std::uint32_t>(window));
}

void call_mbarrier(Emitter& e, const char* helper, std::size_t address) {
  const Operand& at = e.instruction().operands[address];
  e.mark_line();
  e.call(helper, {e.warp(), e.mask(), window_of(e), e.spill(e.address(at)), e.number64(at.offset)});
}

void call_mbarrier(Emitter& e, const char* helper, std::size_t address, Value* argument) {
  const Operand& at = e.instruction().operands[address];
  e.mark_line();
  e.call(helper, {e.warp(), e.mask(), window_of(e), e.spill(e.address(at)), e.number64(at.offset),
                  argument});
}

void arrive(Emitter& e, std::uint32_t flags) {
  const auto& instruction = e.instruction();
  const auto& operands = instruction.operands;
  const Operand& at = operands[1];
  if (instruction.has("noComplete")) flags |= kNoComplete;
  if (instruction.has("relaxed")) flags |= kRelaxed;
  const bool expects = instruction.has("expect_tx");
  if (operands.size() < 3 && (expects || instruction.has("noComplete"))) {
    reject(instruction, "needs a count");
  }
  Value* extra = operands.size() > 2 ? e.spill(e.source(2, 32)) : e.null();
  const bool returns = operands[0].kind != Operand::Kind::sink;
  Value* state = returns ? e.room(64) : e.null();
  e.mark_line();
  e.call("octavo_mbarrier_arrive",
         {e.warp(), e.mask(), window_of(e), e.spill(e.address(at)), e.number64(at.offset),
          expects ? e.null() : extra, expects ? extra : e.null(), state, e.number(flags)});
  if (returns) e.write(0u, e.fetch(state, 64));
}

}  // namespace

void lower_mbarrier_init(Emitter& e, const Step&) {
  call_mbarrier(e, "octavo_mbarrier_init", 0, e.spill(e.source(1, 32)));
}

void lower_mbarrier_inval(Emitter& e, const Step&) { call_mbarrier(e, "octavo_mbarrier_inval", 0); }

void lower_mbarrier_expect_tx(Emitter& e, const Step&) {
  call_mbarrier(e, "octavo_mbarrier_expect_tx", 0, e.spill(e.source(1, 32)));
}

void lower_mbarrier_complete_tx(Emitter& e, const Step&) {
  call_mbarrier(e, "octavo_mbarrier_complete_tx", 0, e.spill(e.source(1, 32)));
}

void lower_mbarrier_arrive(Emitter& e, const Step&) { arrive(e, 0); }
void lower_mbarrier_arrive_drop(Emitter& e, const Step&) { arrive(e, kDrop); }

void lower_mbarrier_wait(Emitter& e, const Step&) {
  const auto& instruction = e.instruction();
  const Operand& at = instruction.operands[1];
  const bool parity = instruction.has("parity");
  Value* phase = e.spill(e.source(2, parity ? 32 : 64));
  Value* complete = e.room(32);
  e.mark_line();
  e.call("octavo_mbarrier_wait",
         {e.warp(), e.mask(), window_of(e), e.spill(e.address(at)), e.number64(at.offset),
          parity ? e.null() : phase, parity ? phase : e.null(),
          e.number(instruction.has("relaxed") ? 1 : 0), complete});
  e.write(0u, e.fetch(complete, 32));
}

void lower_mbarrier_pending_count(Emitter& e, const Step&) {
  Value* count = e.room(32);
  e.call("octavo_mbarrier_pending_count", {count, e.spill(e.source(1, 64))});
  e.write(0u, e.fetch(count, 32));
}

void lower_cp_async_arrive(Emitter& e, const Step&) {
  call_mbarrier(e, "octavo_cp_async_arrive", 0, e.number(e.instruction().has("noinc") ? 0 : 1));
}

// Between the generic proxy and the async one; those of other proxies order nothing here.
void lower_fence_proxy(Emitter& e, const Step& step) {
  lower_fence(e, step);
  const auto& instruction = e.instruction();
  const bool asynchronous = instruction.has("async") || instruction.has("async::generic");
  if (!asynchronous || instruction.has("global") || !e.graph().asynchronous) return;
  e.mark_line();
  e.call("octavo_fence_proxy_async", {e.warp(), e.mask()});
}

void lower_warp_sync(Emitter& e, const Step&) {
  if (e.graph().asynchronous) e.call("octavo_warp_sync", {e.warp()});
}

}  // namespace octavo::emulator::lower
