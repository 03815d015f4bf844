// mbarriers, proxy fences, and what moves memory asynchronously.
#include <utility>

#include "execute/access.hpp"
#include "execute/mbarrier.hpp"
#include "execute/tensor_map.hpp"
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

namespace {

Reduction reduction_of(Emitter& e) {
  constexpr std::pair<const char*, Reduction> kNames[] = {
      {"add", Reduction::add}, {"min", Reduction::min}, {"max", Reduction::max},
      {"inc", Reduction::inc}, {"dec", Reduction::dec}, {"and", Reduction::band},
      {"or", Reduction::bor},  {"xor", Reduction::bxor}};
  const bool reduces = e.instruction().opcode == "red" || e.instruction().has("reduce");
  if (!reduces) return Reduction::none;
  for (const auto& [name, reduction] : kNames) {
    if (e.instruction().has(name)) return reduction;
  }
  reject(e.instruction(), "has no operation");
}

ElementType element_of(Emitter& e) {
  switch (e.instruction().type()) {
    case ptx::Type::b32:
    case ptx::Type::u32:
      return ElementType::u32;
    case ptx::Type::s32:
      return ElementType::s32;
    case ptx::Type::b64:
    case ptx::Type::u64:
      return ElementType::u64;
    case ptx::Type::s64:
      return ElementType::s64;
    case ptx::Type::f16:
      return ElementType::f16;
    case ptx::Type::bf16:
      return ElementType::bf16;
    case ptx::Type::f32:
      return ElementType::f32;
    case ptx::Type::f64:
      return ElementType::f64;
    default:
      reject(e.instruction(), "has no element type");
  }
}

// The address of each lane, its offset in it.
Value* whole_address(Emitter& e, std::size_t i) {
  const Operand& operand = e.instruction().operands[i];
  return e.spill(e.ir().CreateAdd(e.address(operand),
                                  e.splat(static_cast<std::uint64_t>(operand.offset), 64)));
}

// The operand after the first `taken` ones that says which blocks get a copy.
Value* cta_mask(Emitter& e, std::size_t taken) {
  const auto& instruction = e.instruction();
  const bool multicast = instruction.has("multicast::cluster");
  const std::size_t policies = instruction.has("L2::cache_hint") ? 1 : 0;
  if (instruction.operands.size() != taken + policies + (multicast ? 1 : 0)) {
    reject(instruction, "its operands do not fit its modifiers");
  }
  if (multicast && !instruction.has("shared::cluster")) {
    reject(instruction, "multicast needs .shared::cluster");
  }
  return multicast ? e.spill(e.source(taken, 16)) : e.null();
}

void check_policy(Emitter& e, std::size_t taken) { cta_mask(e, taken); }

void check_element(Emitter& e, bool into_shared) {
  const Reduction reduction = reduction_of(e);
  const ElementType type = element_of(e);
  const bool half = type == ElementType::f16 || type == ElementType::bf16;
  if (find_combine(reduction, type, into_shared) == nullptr ||
      (half && reduction == Reduction::add) != e.instruction().has("noftz")) {
    reject(e.instruction(), "there is no such reduction");
  }
}

}  // namespace

// global -> shared, or shared -> shared of the cluster.
void lower_bulk_to_shared(Emitter& e, const Step&) {
  const auto& instruction = e.instruction();
  Value* mask = cta_mask(e, 4);
  if (!instruction.has("mbarrier::complete_tx::bytes")) reject(instruction, "has no mbarrier");
  e.mark_line();
  if (instruction.has("global")) {
    if (instruction.has("reduce")) reject(instruction, "reduces from shared memory alone");
    e.call("octavo_bulk_load",
           {e.warp(), e.mask(), window_of(e), whole_address(e, 0), whole_address(e, 1),
            e.spill(e.source(2, 32)), whole_address(e, 3), mask});
    return;
  }
  const bool reduces = instruction.has("reduce");
  if (reduces) check_element(e, true);
  if (!instruction.has("shared::cluster") || !instruction.has("shared::cta")) {
    reject(instruction, "copies from .shared::cta to .shared::cluster");
  }
  e.call("octavo_bulk_send",
         {e.warp(), e.mask(), whole_address(e, 0), whole_address(e, 1), e.spill(e.source(2, 32)),
          whole_address(e, 3), e.number(static_cast<std::uint32_t>(reduction_of(e))),
          e.number(reduces ? static_cast<std::uint32_t>(element_of(e)) : 0)});
}

void lower_bulk_to_global(Emitter& e, const Step&) {
  const auto& instruction = e.instruction();
  check_policy(e, 3);
  if (!instruction.has("global") || !instruction.has("shared::cta")) {
    reject(instruction, "copies from .shared::cta to .global");
  }
  const bool reduces = instruction.has("reduce");
  if (reduces) check_element(e, false);
  e.mark_line();
  e.call("octavo_bulk_store",
         {e.warp(), e.mask(), whole_address(e, 0), whole_address(e, 1), e.spill(e.source(2, 32)),
          e.number(static_cast<std::uint32_t>(reduction_of(e))),
          e.number(reduces ? static_cast<std::uint32_t>(element_of(e)) : 0)});
}

void lower_bulk_prefetch(Emitter& e, const Step&) {
  check_policy(e, 2);
  e.mark_line();
  e.call("octavo_bulk_prefetch",
         {e.warp(), e.mask(), whole_address(e, 0), e.spill(e.source(1, 32))});
}

void lower_bulk_commit(Emitter& e, const Step&) {
  e.call("octavo_bulk_commit", {e.warp(), e.mask()});
}

void lower_bulk_wait(Emitter& e, const Step&) {
  const Operand& groups = e.instruction().operands[0];
  if (groups.kind != Operand::Kind::immediate)
    reject(e.instruction(), "the number of groups must be a constant");
  e.mark_line();
  e.call("octavo_bulk_wait", {e.warp(), e.mask(), e.number(static_cast<std::uint32_t>(groups.bits)),
                              e.number(e.instruction().has("read") ? 1 : 0)});
}

void lower_async_store(Emitter& e, const Step&) {
  const auto& instruction = e.instruction();
  const bool reduces = instruction.opcode == "red";
  if (!instruction.has("mbarrier::complete_tx::bytes")) reject(instruction, "has no mbarrier");
  if (reduces && !(instruction.has("relaxed") && instruction.has("cluster"))) {
    reject(instruction, "needs .relaxed.cluster");
  }
  if (reduces) check_element(e, true);
  const ElementType type = element_of(e);
  const std::size_t count = instruction.has("v4") ? 4 : instruction.has("v2") ? 2 : 1;
  const Operand& from = instruction.operands[1];
  const bool vector = from.kind == Operand::Kind::vector;
  if ((vector ? from.elements.size() : 1) != count || count * bytes_of(type) > 16) {
    reject(instruction, "stores one value, or a vector of at most 16 bytes");
  }
  std::vector<Value*> values;
  for (std::size_t i = 0; i < count; ++i) {
    values.push_back(e.source(vector ? from.elements[i] : from, 8 * bytes_of(type), true));
  }
  e.require_defined(e.undefined(), Use::store, e.mask());  // it counts as defined where it arrives
  e.mark_line();
  e.call("octavo_async_store",
         {e.warp(), e.mask(), window_of(e), whole_address(e, 0), e.spill(values),
          e.number(static_cast<std::uint32_t>(count)), whole_address(e, 2),
          e.number(static_cast<std::uint32_t>(reduction_of(e))),
          e.number(static_cast<std::uint32_t>(type))});
}

namespace {

struct Tensor {
  Value* map;
  Value* dimensions;
  Value* coordinates;
};

// [map, {coordinates}], as many as the instruction's dimensions.
Tensor tensor_operand(Emitter& e, std::size_t i) {
  const auto& instruction = e.instruction();
  const Operand& operand = instruction.operands[i];
  std::size_t dimensions = 0;
  for (std::size_t d = 1; d <= kMostDimensions; ++d) {
    if (instruction.has(std::to_string(d) + "d")) dimensions = d;
  }
  if (dimensions == 0 || operand.elements.size() != dimensions) {
    reject(instruction, "has as many coordinates as its dimension says");
  }
  std::vector<Value*> coordinates;
  for (const Operand& element : operand.elements) coordinates.push_back(e.source(element, 32));
  Operand base = operand;
  base.elements.clear();
  Value* map = e.spill(
      e.ir().CreateAdd(e.address(base), e.splat(static_cast<std::uint64_t>(base.offset), 64)));
  return {map, e.number(static_cast<std::uint32_t>(dimensions)), e.spill(coordinates)};
}

}  // namespace

void lower_tensor_load(Emitter& e, const Step&) {
  const auto& instruction = e.instruction();
  Value* mask = cta_mask(e, 3);
  if (!instruction.has("mbarrier::complete_tx::bytes")) reject(instruction, "has no mbarrier");
  const Tensor tensor = tensor_operand(e, 1);
  e.mark_line();
  e.call("octavo_tensor_load", {e.warp(), e.mask(), window_of(e), whole_address(e, 0), tensor.map,
                                tensor.dimensions, tensor.coordinates, whole_address(e, 2), mask});
}

void lower_tensor_store(Emitter& e, const Step&) {
  check_policy(e, 2);
  const Tensor tensor = tensor_operand(e, 0);
  e.mark_line();
  e.call("octavo_tensor_store",
         {e.warp(), e.mask(), tensor.map, tensor.dimensions, tensor.coordinates,
          whole_address(e, 1), e.number(static_cast<std::uint32_t>(reduction_of(e)))});
}

void lower_tensor_prefetch(Emitter& e, const Step&) {
  check_policy(e, 1);
  const Tensor tensor = tensor_operand(e, 0);
  e.mark_line();
  e.call("octavo_tensor_prefetch",
         {e.warp(), e.mask(), tensor.map, tensor.dimensions, tensor.coordinates});
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
