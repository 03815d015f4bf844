// Loads, stores, atomics, fences and asynchronous copies.
#include <cstddef>

#include "execute/warp.hpp"
#include "lower/emitter.hpp"
#include "lower/families.hpp"

namespace octavo::emulator::lower {
namespace {

using llvm::Value;
using ptx::Operand;
using ptx::Type;

enum class Window : std::uint8_t { generic, global, shared, cluster, local, parameter };

Window window_of(const ptx::Instruction& instruction) {
  if (instruction.has("global") || instruction.has("const")) return Window::global;
  if (instruction.has("shared") || instruction.has("shared::cta")) return Window::shared;
  if (instruction.has("shared::cluster")) return Window::cluster;
  if (instruction.has("local")) return Window::local;
  const bool parameter =
      instruction.has("param") || instruction.has("param::entry") || instruction.has("param::func");
  return parameter ? Window::parameter : Window::generic;
}

const char* name_of(Window window) {
  switch (window) {
    case Window::global:
      return "global";
    case Window::shared:
      return "shared";
    case Window::cluster:
      return "cluster";
    case Window::local:
      return "local";
    default:
      return "generic";
  }
}

// A kernel's parameters have host addresses; those of other functions are local variables.
Window resolve_parameter(Emitter& e, Window window, const Operand& operand) {
  if (window != Window::parameter) return window;
  if (operand.has_reg) return Window::generic;
  const Place* place = e.graph().find_place(e.step().function, operand.text);
  return place != nullptr && place->is_local() ? Window::local : Window::generic;
}

unsigned vector_count(const ptx::Instruction& instruction) {
  return instruction.has("v2") ? 2 : instruction.has("v4") ? 4 : instruction.has("v8") ? 8 : 1;
}

// The operand's elements: itself, or those of a vector.
std::span<const Operand> elements_of(Emitter& e, const Operand& operand, unsigned count) {
  const bool vector = operand.kind == Operand::Kind::vector;
  if (vector != (count > 1) || (vector && operand.elements.size() != count)) {
    reject(e.instruction(), "the vector operand does not fit .v" + std::to_string(count));
  }
  return vector ? std::span<const Operand>(operand.elements)
                : std::span<const Operand>(&operand, 1);
}

std::string symbol(const char* operation, Window window, unsigned bits) {
  return std::string("octavo_") + operation + "_" + name_of(window) + "_" +
         std::to_string(bits / 8);
}

// A kernel parameter at a known place is the same for all lanes: no check is left for run time.
bool load_uniform(Emitter& e, const Operand& from, std::span<const Operand> to, unsigned bits,
                  bool sign) {
  if (from.has_reg || from.text.empty()) return false;
  const Place* place = e.graph().find_place(e.step().function, from.text);
  if (place == nullptr || place->kind != Place::Kind::parameter) return false;
  const auto offset = static_cast<std::uint64_t>(from.offset);
  if (offset > place->bytes || to.size() * bits / 8 > place->bytes - offset) {
    reject(e.instruction(), "reads past the end of " + from.text);
  }
  auto& ir = e.ir();
  Value* base = e.load_member(ir.getPtrTy(), offsetof(Warp, parameters));
  for (std::size_t i = 0; i < to.size(); ++i) {
    Value* at =
        ir.CreateConstInBoundsGEP1_64(ir.getInt8Ty(), base, place->offset + offset + i * bits / 8);
    e.write(to[i], e.splat(ir.CreateAlignedLoad(ir.getIntNTy(bits), at, llvm::Align(1))), sign);
  }
  return true;
}

}  // namespace

void lower_ld(Emitter& e, const Step&) {
  const Type type = type_of(e);
  const unsigned bits = bits_of(type), count = vector_count(e.instruction());
  const Operand& from = e.instruction().operands[1];
  const auto to = elements_of(e, e.instruction().operands[0], count);
  Window window = window_of(e.instruction());
  if (window == Window::parameter && load_uniform(e, from, to, bits, is_signed(type))) return;
  window = resolve_parameter(e, window, from);
  const auto& instruction = e.instruction();
  const bool polls =
      instruction.has("volatile") || instruction.has("relaxed") || instruction.has("acquire");
  const bool always_defined = window == Window::global;
  Value* result = e.room(bits, count);
  Value* undefined = always_defined ? e.null() : e.room_for_masks(count);
  e.mark_line();
  e.call(symbol("load", window, bits),
         {e.warp(), e.mask(), e.spill(e.address(from)), e.number64(from.offset), result,
          e.number(count), e.number(polls ? 1 : 0), undefined});
  for (unsigned i = 0; i < count; ++i) {
    if (!always_defined) e.set_undefined(e.fetch_mask(undefined, i));
    e.write(to[i], e.fetch(result, bits, i), is_signed(type));
  }
}

void lower_st(Emitter& e, const Step&) {
  const Type type = type_of(e);
  const unsigned bits = bits_of(type), count = vector_count(e.instruction());
  const Operand& to = e.instruction().operands[0];
  const Window window = resolve_parameter(e, window_of(e.instruction()), to);
  std::vector<Value*> values, undefined;
  for (const Operand& element : elements_of(e, e.instruction().operands[1], count)) {
    values.push_back(e.source(element, bits, true));
    undefined.push_back(e.undefined_lanes(element));
  }
  Value* masks = e.null();
  if (window == Window::global) {
    e.require_defined(e.undefined(), Use::store, e.mask());
  } else {
    masks = e.spill_masks(undefined);
  }
  e.mark_line();
  e.call(symbol("store", window, bits),
         {e.warp(), e.mask(), e.spill(e.address(to)), e.number64(to.offset), e.spill(values),
          e.number(count), masks});
}

namespace {

// "add_f32", "smin_64": how the functions of execute/atomics.cpp are named.
std::string atomic_name(Emitter& e, Type type) {
  static constexpr const char* kOperations[] = {"add", "min",  "max", "and", "or",
                                                "xor", "exch", "cas", "inc", "dec"};
  for (const char* operation : kOperations) {
    if (!e.instruction().has(operation)) continue;
    const std::string name = operation;
    const std::string bits = std::to_string(bits_of(type));
    switch (type) {
      case Type::f16:
        return name + "_f16";
      case Type::bf16:
        return name + "_bf16";
      case Type::f16x2:
        return name + "_f16x2";
      case Type::bf16x2:
        return name + "_bf16x2";
      case Type::f32:
        return name + "_f32";
      case Type::f64:
        return name + "_f64";
      default:
        break;
    }
    if (name == "min" || name == "max") return (is_signed(type) ? "s" : "u") + name + "_" + bits;
    return name + "_" + bits;
  }
  reject(e.instruction(), "has no operation");
}

void lower_atomic(Emitter& e, const Operand* to, std::size_t address_index) {
  const Type type = type_of(e);
  const unsigned bits = bits_of(type), count = vector_count(e.instruction());
  const auto& operands = e.instruction().operands;
  const Operand& at = operands[address_index];
  Window window = window_of(e.instruction());
  const std::string operation = atomic_name(e, type);
  if (window == Window::local || window == Window::parameter)
    reject(e.instruction(), "needs global or shared memory");
  const bool exchange = e.instruction().has("cas");
  if (operands.size() < address_index + (exchange ? 3 : 2))
    reject(e.instruction(), "has too few operands");
  if (bits == 128 && operation != "cas_128" && operation != "exch_128") {
    refuse(e.instruction(), "this operation is not supported for the type");
  }
  if ((operation.ends_with("16") || operation.find("f16x2") != std::string::npos ||
       operation.ends_with("f32") || operation.ends_with("f64")) &&
      !operation.starts_with("add") && operation != "cas_16" && operation != "exch_16") {
    refuse(e.instruction(), "this operation is not supported for the type");
  }
  std::vector<Value*> values;
  for (const Operand& element : elements_of(e, operands[address_index + 1], count)) {
    values.push_back(e.source(element, bits));
  }
  Value* fresh = exchange ? e.spill(e.source(address_index + 2, bits)) : e.null();
  Value* result = to == nullptr ? e.null() : e.room(bits, count);
  Value* undefined = e.room_for_masks(count);
  e.require_defined(e.undefined(), Use::store, e.mask());
  e.mark_line();
  e.call(std::string("octavo_atom_") + name_of(window) + "_" + operation,
         {e.warp(), e.mask(), e.spill(e.address(at)), e.number64(at.offset), result,
          e.spill(values), fresh, e.number(count), undefined});
  if (to == nullptr || to->kind == Operand::Kind::sink) return;
  const auto elements = elements_of(e, *to, count);
  for (unsigned i = 0; i < count; ++i) {
    e.set_undefined(window == Window::global ? e.number(0) : e.fetch_mask(undefined, i));
    e.write(elements[i], e.fetch(result, bits, i));
  }
}

}  // namespace

void lower_atom(Emitter& e, const Step&) { lower_atomic(e, &e.instruction().operands[0], 1); }
void lower_red(Emitter& e, const Step&) { lower_atomic(e, nullptr, 0); }

// The host's fence is as strong as any that the instruction can ask for.
void lower_fence(Emitter& e, const Step&) {
  if (e.graph().asynchronous) e.call("octavo_fence_threads", {e.warp()});
  e.ir().CreateFence(llvm::AtomicOrdering::SequentiallyConsistent);
}

void lower_cp_async(Emitter& e, const Step&) {
  auto& ir = e.ir();
  const auto& operands = e.instruction().operands;
  const Operand& to = operands[0];
  const Operand& from = operands[1];
  if (from.kind != Operand::Kind::address) reject(e.instruction(), "the source must be an address");
  const Operand& size = operands[2];
  if (size.kind != Operand::Kind::immediate ||
      (size.bits != 4 && size.bits != 8 && size.bits != 16)) {
    reject(e.instruction(), "copies 4, 8 or 16 bytes");
  }
  // After the size: a source size or a predicate that ignores the source, and a cache policy.
  const bool policy = e.instruction().has("L2::cache_hint");
  Value* source_bytes = e.null();
  if (operands.size() > (policy ? 4u : 3u)) {
    const Operand& extra = operands[3];
    const bool ignores =
        extra.kind == Operand::Kind::reg && e.graph().registers[extra.reg].type == Type::pred;
    Value* bytes = ignores ? ir.CreateSelect(e.condition(e.source_predicate(extra)), e.splat(0, 32),
                                             e.splat(size.bits, 32))
                           : e.source(extra, 32);
    source_bytes = e.spill(bytes);
    e.require_defined(e.undefined(), Use::operand, e.mask());
  }
  e.mark_line();
  e.call("octavo_cp_async", {e.warp(), e.mask(), e.spill(e.address(to)), e.number64(to.offset),
                             e.spill(e.address(from)), e.number64(from.offset),
                             e.number(static_cast<std::uint32_t>(size.bits)), source_bytes});
}

void lower_cp_async_commit(Emitter& e, const Step&) {
  e.call("octavo_cp_async_commit", {e.warp(), e.mask()});
}

void lower_cp_async_wait(Emitter& e, const Step&) {
  const Operand& groups = e.instruction().operands[0];
  if (groups.kind != Operand::Kind::immediate)
    reject(e.instruction(), "the number of groups must be a constant");
  e.call("octavo_cp_async_wait",
         {e.warp(), e.mask(), e.number(static_cast<std::uint32_t>(groups.bits))});
}

void lower_cp_async_wait_all(Emitter& e, const Step&) {
  e.call("octavo_cp_async_wait_all", {e.warp(), e.mask()});
}

}  // namespace octavo::emulator::lower
