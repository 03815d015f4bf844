#include "lower/emitter.hpp"

#include <cstddef>

#include "execute/warp.hpp"

namespace octavo::emulator::lower {

using ptx::Type;

bool is_float(Type type) {
  return type == Type::f16 || type == Type::bf16 || type == Type::f32 || type == Type::f64;
}

bool is_signed(Type type) {
  return type == Type::s8 || type == Type::s16 || type == Type::s32 || type == Type::s64;
}

unsigned bits_of(Type type) {
  return type == Type::pred ? 32 : static_cast<unsigned>(ptx::bytes_of(type)) * 8;
}

Type type_of(const Emitter& e) {
  const Type type = e.instruction().type();
  if (type == Type::none) reject(e.instruction(), "has no type");
  return type;
}

Emitter::Emitter(llvm::Module& module, const Graph& graph, int compute_capability)
    : module_(module),
      graph_(graph),
      compute_capability_(compute_capability),
      ir_(module.getContext()) {}

std::uint32_t Emitter::frame_bytes() const { return graph_.slot_bytes + scratch_bytes_; }

llvm::FixedVectorType* Emitter::lanes(unsigned bits) const {
  return llvm::FixedVectorType::get(llvm::Type::getIntNTy(module_.getContext(), bits), kLanes);
}

llvm::FixedVectorType* Emitter::floats(Type type) const {
  auto& context = module_.getContext();
  llvm::Type* element = type == Type::f64   ? llvm::Type::getDoubleTy(context)
                        : type == Type::f16 ? llvm::Type::getHalfTy(context)
                                            : llvm::Type::getFloatTy(context);
  return llvm::FixedVectorType::get(element, kLanes);
}

Emitter::Value* Emitter::splat(std::uint64_t value, unsigned bits) const {
  return llvm::ConstantInt::get(
      lanes(bits), llvm::APInt(bits, bits < 64 ? value & ((1ull << bits) - 1) : value));
}

Emitter::Value* Emitter::splat(Value* scalar) { return ir_.CreateVectorSplat(kLanes, scalar); }

Emitter::Value* Emitter::null() { return llvm::ConstantPointerNull::get(ir_.getPtrTy()); }

// --- masks

// By bits where lanes are as wide as AVX-512's masked bit operations: LLVM 19 gets a select wrong
// whose value picks bits by a constant and whose other value is one that they were picked from.
Emitter::Value* Emitter::merge(Value* predicate, Value* value, Value* otherwise) {
  const unsigned bits = value->getType()->getScalarSizeInBits();
  if (bits != 32 && bits != 64) {
    return ir_.CreateSelect(condition(predicate), value, otherwise);
  }
  Value* chosen = ir_.CreateSExtOrTrunc(predicate, lanes(bits));
  return ir_.CreateOr(ir_.CreateAnd(value, chosen),
                      ir_.CreateAnd(otherwise, ir_.CreateNot(chosen)));
}

Emitter::Value* Emitter::condition(Value* predicate) {
  return ir_.CreateICmpSLT(predicate, llvm::Constant::getNullValue(predicate->getType()));
}

Emitter::Value* Emitter::predicate(Value* condition) {
  return ir_.CreateSExt(condition, lanes(32));
}

Emitter::Value* Emitter::ballot(Value* predicate) {
  return ir_.CreateBitCast(condition(predicate), ir_.getInt32Ty());
}

Emitter::Value* Emitter::mask_lanes() {
  if (mask_lanes_ == nullptr) mask_lanes_ = load_member(lanes(32), offsetof(Warp, mask_lanes));
  return mask_lanes_;
}

Emitter::Value* Emitter::running() {
  if (mask_ == nullptr) mask_ = load_member(ir_.getInt32Ty(), offsetof(Warp, mask));
  return mask_;
}

Emitter::Value* Emitter::guard() {
  if (step_ == nullptr || !instruction().guarded) return nullptr;
  Value* value = read_register(instruction().guard);
  return instruction().guard_negated ? ir_.CreateNot(value) : value;
}

Emitter::Value* Emitter::mask() {
  Value* through = guard();
  if (through == nullptr) return running();
  require_register(instruction().guard, Use::guard, true);
  return ir_.CreateAnd(running(), ballot(through));
}

Emitter::Value* Emitter::member(std::size_t offset) {
  return ir_.CreateConstInBoundsGEP1_64(ir_.getInt8Ty(), warp_, offset);
}

llvm::Value* Emitter::load_member(llvm::Type* type, std::size_t offset) {
  const llvm::Align align(
      type->isVectorTy() ? 32 : module_.getDataLayout().getABITypeAlign(type).value());
  return ir_.CreateAlignedLoad(type, member(offset), align);
}

// --- calls

Emitter::Value* Emitter::scratch(std::uint32_t bytes) {
  const std::uint32_t offset = graph_.slot_bytes + scratch_used_;
  scratch_used_ += (bytes + 63) / 64 * 64;
  scratch_bytes_ = std::max(scratch_bytes_, scratch_used_);
  return ir_.CreateConstInBoundsGEP1_64(ir_.getInt8Ty(), frame_, offset);
}

Emitter::Value* Emitter::room(unsigned bits, unsigned count) {
  return scratch(count * kLanes * bits / 8);
}

Emitter::Value* Emitter::spill(std::span<Value* const> values) {
  const unsigned bytes = kLanes * values[0]->getType()->getScalarSizeInBits() / 8;
  Value* memory = scratch(bytes * static_cast<unsigned>(values.size()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    ir_.CreateAlignedStore(values[i],
                           ir_.CreateConstInBoundsGEP1_64(ir_.getInt8Ty(), memory, bytes * i),
                           llvm::Align(32));
  }
  return memory;
}

Emitter::Value* Emitter::fetch(Value* room, unsigned bits, unsigned index) {
  Value* at = ir_.CreateConstInBoundsGEP1_64(ir_.getInt8Ty(), room, kLanes * bits / 8 * index);
  return ir_.CreateAlignedLoad(lanes(bits), at, llvm::Align(32));
}

Emitter::Value* Emitter::table(std::span<const std::uint32_t> words) {
  auto* data = llvm::ConstantDataArray::get(
      module_.getContext(), llvm::ArrayRef<std::uint32_t>(words.data(), words.size()));
  return new llvm::GlobalVariable(module_, data->getType(), true, llvm::GlobalValue::PrivateLinkage,
                                  data, "table");
}

Emitter::Value* Emitter::fragment(std::uint32_t set) {
  return ir_.CreateConstInBoundsGEP1_64(ir_.getInt8Ty(), frame_,
                                        graph_.fragments_offset + 4 * std::uint64_t{set});
}

llvm::FunctionCallee Emitter::callee(llvm::StringRef name, llvm::Type* result,
                                     std::initializer_list<Value*> arguments) {
  std::vector<llvm::Type*> types;
  for (const Value* argument : arguments) types.push_back(argument->getType());
  auto function = module_.getOrInsertFunction(name, llvm::FunctionType::get(result, types, false));
  llvm::cast<llvm::Function>(function.getCallee())->setDoesNotThrow();
  return function;
}

Emitter::Value* Emitter::call(llvm::StringRef name, llvm::Type* result,
                              std::initializer_list<Value*> arguments) {
  return ir_.CreateCall(callee(name, result, arguments),
                        llvm::ArrayRef<Value*>(arguments.begin(), arguments.size()));
}

void Emitter::call(llvm::StringRef name, std::initializer_list<Value*> arguments) {
  call(name, ir_.getVoidTy(), arguments);
}

void Emitter::mark_line() {
  ir_.CreateStore(ir_.getInt32(static_cast<std::uint32_t>(instruction().line)),
                  member(offsetof(Warp, line)));
}

}  // namespace octavo::emulator::lower
