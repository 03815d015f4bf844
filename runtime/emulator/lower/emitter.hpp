// Writes a kernel's LLVM IR, one basic block after another.
//
// A register's value is a vector of 32 lanes: <32 x iN> of the register's width, floats by their
// bits, predicates as i32 lanes of 0 or ~0 (AVX2 has no mask registers). Inside a block values are
// SSA; those that outlive it are stored to the warp's frame at its end, in the lanes that run.
#pragma once

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <span>
#include <string>
#include <vector>

#include "execute/undefined.hpp"
#include "lower/graph.hpp"

namespace octavo::emulator::lower {

constexpr unsigned kLanes = 32;

bool is_float(ptx::Type type);   // f16, bf16 and wider; not packed pairs
bool is_signed(ptx::Type type);  // s8 to s64
unsigned bits_of(ptx::Type type);

class Emitter;
ptx::Type type_of(const Emitter& e);  // the instruction's; a fault if it has none

class Emitter {
 public:
  // Emits `void <symbol>(Warp*, frame)`; compute_capability is of the emulated device.
  Emitter(llvm::Module& module, const Graph& graph, int compute_capability);
  void emit(const std::string& symbol);

  // Of the whole frame: slots, then scratch memory for the functions that are called.
  std::uint32_t frame_bytes() const;

  // --- what instructions are lowered with

  using Value = llvm::Value;
  llvm::IRBuilder<>& ir() { return ir_; }
  int compute_capability() const { return compute_capability_; }
  const Graph& graph() const { return graph_; }

  llvm::FixedVectorType* lanes(unsigned bits) const;  // <32 x i bits>
  llvm::FixedVectorType* floats(ptx::Type type) const;
  Value* splat(std::uint64_t value, unsigned bits) const;
  Value* splat(Value* scalar);

  // A source operand's value as <32 x i bits>; its register must be as wide, or with `wider` at
  // least.
  Value* source(const ptx::Operand& operand, unsigned bits, bool wider = false);
  Value* source(std::size_t i, unsigned bits, bool wider = false);
  // As floats of f16, f32 or f64. bf16 comes as f32, which holds it exactly. With `any_nan`, for
  // what does not look at a NaN's bits, they may be those that the host's arithmetic makes.
  Value* source_float(std::size_t i, ptx::Type type, bool any_nan = false);
  Value* source_predicate(const ptx::Operand& operand);  // i32 lanes, a "!" applied
  // Writes a destination, in the lanes that the guard lets through. Integers narrower than the
  // register are extended; floats are written as their bits.
  void write(const ptx::Operand& operand, Value* value, bool sign_extend = false);
  void write(std::size_t i, Value* value, bool sign_extend = false);
  // f32 whose NaNs are still to become PTX's, which they do when their bits are asked for.
  void write_any_nan(std::size_t i, Value* f32);
  void write_register(ptx::RegisterId reg, Value* value);

  // --- undefined values (undefined.cpp): an i32 with a bit for each lane. What an instruction
  // --- reads makes what it writes undefined, unless its lowering says otherwise; bits of lanes
  // --- that do not run mean nothing.
  Value* undefined() const { return undefined_; }  // of all sources read so far
  void set_undefined(Value* lanes) { undefined_ = lanes; }
  Value* undefined_lanes(const ptx::Operand& operand);
  Value* either(Value* a, Value* b);
  Value* both(Value* a, Value* b);
  Value* without(Value* a, Value* b);  // a's lanes that are not b's
  // The next writes' is undefined only where all these registers are: of what packs values
  // together, part may be padding.
  void set_undefined_of_pack(std::span<const ptx::Operand> parts);
  // A fault where one of these lanes is undefined.
  void require_defined(Value* undefined, Use use, Value* lanes);
  // Likewise of a register, in all running lanes or those that the guard lets through.
  void require_register(ptx::RegisterId reg, Use use, bool for_all);
  // Scratch memory for masks; null() if all are known to be zero.
  Value* spill_masks(std::span<Value* const> masks);
  Value* room_for_masks(unsigned count);
  Value* fetch_mask(Value* room, unsigned index);

  Value* as_float(Value* bits, ptx::Type type);
  Value* as_bits(Value* value);

  Value* merge(Value* predicate, Value* value, Value* otherwise);  // of bits, by lane
  Value* condition(Value* predicate);                              // <32 x i1>
  Value* predicate(Value* condition);                              // and back
  Value* ballot(Value* predicate);                                 // i32, one bit a lane
  // i32: the lanes that run, and those of them that this instruction's guard lets through, which
  // is a fault if it is undefined.
  Value* running();
  Value* mask();
  Value* mask_lanes();  // of the block, as a predicate

  // The address of an address operand's base (without its offset) as <32 x i64>.
  Value* address(const ptx::Operand& operand);
  Value* symbol_address(const ptx::Operand& operand);  // likewise, of the name it holds
  const ptx::Instruction& instruction() const { return step_->instruction; }
  const Step& step() const { return *step_; }

  // Scratch memory for a function's arguments: values one after another, or room for results.
  Value* spill(std::span<Value* const> values);
  Value* spill(Value* value) { return spill(std::span<Value* const>(&value, 1)); }
  Value* room(unsigned bits, unsigned count = 1);
  Value* fetch(Value* room, unsigned bits, unsigned index = 0);  // the index-th vector in it
  Value* call(llvm::StringRef name, llvm::Type* result, std::initializer_list<Value*> arguments);
  void call(llvm::StringRef name, std::initializer_list<Value*> arguments);
  Value* warp() const { return warp_; }
  Value* frame() const { return frame_; }
  Value* table(std::span<const std::uint32_t> words);  // constants in memory
  // Of this set of wgmma's registers: see Graph::fragments_offset.
  Value* fragment(std::uint32_t set);
  Value* number(std::uint32_t value) { return ir_.getInt32(value); }
  Value* number64(std::int64_t value) { return ir_.getInt64(static_cast<std::uint64_t>(value)); }
  Value* null();
  // Tells the functions called next, for their messages, which line this is.
  void mark_line();
  Value* member(std::size_t offset);  // pointer into the Warp
  llvm::Value* load_member(llvm::Type* type, std::size_t offset);

  // --- control flow, for instructions that end a block
  void jump(std::uint32_t block);                                            // every running lane
  void branch(Value* taken, std::uint32_t target, std::uint32_t otherwise);  // taken: a predicate
  void dispatch();  // lanes have been told where to go on; the lowest such block is next
  void set_next(Value* blocks);  // <32 x i32>, for the running lanes
  void leave();                  // the running lanes exit
  void store_live();             // before any of these
  std::uint32_t block() const { return block_; }

 private:
  Value* read_register(ptx::RegisterId reg);
  Value* guard();  // its value; null if the instruction has none
  Value* undefined_lanes(ptx::RegisterId reg);
  void write_undefined(ptx::RegisterId reg, Value* guard);
  void store_undefined(ptx::RegisterId reg);
  Value* special(const ptx::Operand& operand, unsigned& bits);
  Value* immediate(const ptx::Operand& operand, unsigned bits);
  llvm::Function* add_function(const llvm::Twine& name, llvm::GlobalValue::LinkageTypes linkage);
  void begin(llvm::Function* function);
  void go(llvm::FunctionCallee target);  // ends the function by calling another in its place
  llvm::BasicBlock* add_block();
  void emit_block(std::uint32_t block);
  void begin_step(const Step& step);
  void emit_entry_check(const BasicBlock& block);
  void check_in_flight();                                              // before an instruction
  std::vector<std::uint32_t> lines_with_a(ptx::RegisterId reg) const;  // of wgmmas
  void note_fragments();                                               // after it
  void count_instructions(const BasicBlock& block);
  llvm::FunctionCallee callee(llvm::StringRef name, llvm::Type* result,
                              std::initializer_list<Value*> arguments);
  Value* scratch(std::uint32_t bytes);
  bool converged() const {
    return graph_.blocks[block_].converged || graph_.blocks[block_].all_lanes;
  }
  void jump_converged(std::uint32_t target);  // spends the budget of a back-edge first
  Value* is_converged();                      // i1: every live lane runs

  llvm::Module& module_;
  const Graph& graph_;
  int compute_capability_;
  llvm::IRBuilder<> ir_;
  llvm::Function* function_ = nullptr;  // of the block under way
  Value* warp_ = nullptr;
  Value* frame_ = nullptr;
  std::vector<llvm::Function*> blocks_;
  llvm::Function* dispatch_ = nullptr;

  // Of the block and instruction under way.
  std::uint32_t block_ = 0;
  const Step* step_ = nullptr;
  std::vector<Value*> values_;  // of registers, where known
  std::vector<bool> any_nan_;   // whether that is f32 with the host's NaNs
  std::vector<Value*> undefined_lanes_;
  std::vector<ptx::RegisterId> known_, masked_, written_;
  std::vector<bool> is_written_;
  Value* mask_lanes_ = nullptr;
  Value* mask_ = nullptr;
  Value* undefined_ = nullptr;
  std::uint32_t scratch_used_ = 0, scratch_bytes_ = 0;
};

}  // namespace octavo::emulator::lower
