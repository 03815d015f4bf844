// A PTX module as it was written: names resolved, nothing else decided.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace octavo::emulator::ptx {

enum class Type : std::uint8_t {
  none,
  pred,
  b8,
  b16,
  b32,
  b64,
  b128,
  u8,
  u16,
  u32,
  u64,
  s8,
  s16,
  s32,
  s64,
  f16,
  f16x2,
  bf16,
  bf16x2,
  tf32,
  f32,
  f32x2,
  f64,
  e4m3,
  e5m2,
  e4m3x2,
  e5m2x2,
  ue8m0x2,
  u16x2,
  s16x2,
};
int bytes_of(Type type);  // pred counts as 1

enum class Space : std::uint8_t { generic, reg, param, global, shared, local, constant };

// Registers of a function are numbered; nested scopes that redeclare a name get another number.
using RegisterId = std::uint32_t;
struct Register {
  std::string name;  // "%r12"
  Type type = Type::none;
};

// A variable of any space but reg: module-scope, function-scope (.shared, .local) or parameter.
struct Variable {
  std::string name;
  Space space = Space::global;
  Type type = Type::b8;
  std::uint64_t bytes = 0;  // of the whole array; 0 for an extern array without a size
  std::uint32_t alignment = 1;
  bool external = false;
  std::vector<std::uint8_t> initial;  // the first bytes; the rest is zeros
  // Addresses inside `initial`: 8 bytes at `offset` hold the address of variable or function
  // `symbol`.
  struct Relocation {
    std::uint64_t offset;
    std::string symbol;
    std::int64_t addend;
  };
  std::vector<Relocation> relocations;
};

struct Operand {
  enum class Kind : std::uint8_t {
    reg,        // reg
    immediate,  // bits: integer, or a float's bits in the width it was written in (float_bits)
    symbol,     // text (+ offset): the address of a variable, or a function or label by name
    address,    // [reg + offset] or [text + offset]
    special,    // text: "%tid.x", "%laneid", "%clock64", "WARP_SZ" ...
    vector,     // elements: {a, b, c, d}
    sink,       // _
  };
  Kind kind = Kind::sink;
  RegisterId reg = 0;
  bool has_reg = false;         // address: base is a register, not a symbol
  bool negated = false;         // !p; of a factor or term of an fma, its opposite
  std::uint8_t float_bits = 0;  // immediate: 0 for an integer, else 32 or 64
  std::uint64_t bits = 0;
  std::int64_t offset = 0;
  std::string text;
  // vector: what stands in the braces; address: what follows the base, "[map, {x, y}]", braces left
  // out
  std::vector<Operand> elements;
};

struct Instruction {
  int line = 0;          // in the PTX text, from 1
  bool guarded = false;  // @p or @!p
  bool guard_negated = false;
  RegisterId guard = 0;
  std::string opcode;                  // "mma", "cp", "ld": up to the first '.'
  std::vector<std::string> modifiers;  // what follows, split at '.': {"async", "cg", "shared", ...}
  std::vector<Operand> operands;       // as written; "d|p" gives d then p, with pair set
  bool pair = false;
  // call: these say what is called; operands are empty, or for an indirect call the register with
  // the address and then the .callprototype's or .calltargets' name
  std::string callee;
  std::vector<std::string> call_results, call_arguments;  // param-space variables of the function

  bool has(std::string_view modifier) const;
  // The i-th modifier that is a type ("ld.global.v4.b32" has one, "cvt.rn.f16.f32" two), or none.
  Type type(std::size_t i = 0) const;
};

// A function's body is a list of instructions in order; labels index into it. Labels and variables
// of nested scopes get a suffix ("L1.2") where the name is taken, so that names are unique in a
// function and hide no name of the module.
struct Label {
  std::string name;
  std::size_t instruction = 0;  // index of the instruction that follows; may be one past the last
};

struct Function {
  std::string name;
  bool entry = false;
  bool declared_only = false;  // has no body here: ".extern .func vprintf ..."
  int line = 0;
  std::vector<Variable> parameters;  // space param, with offsets left to the loader's ABI
  std::vector<Variable> results;     // of a .func
  std::vector<Register> registers;
  std::vector<Variable> variables;  // function-scope .shared, .local and .param
  std::vector<Instruction> body;
  std::vector<Label> labels;
  std::vector<std::vector<std::string>> branch_targets;  // .branchtargets lists, for brx.idx
  std::vector<std::string> branch_target_names;          // the label of each list
  std::uint32_t max_threads[3] = {0, 0, 0};              // .maxntid
  std::uint32_t required_threads[3] = {0, 0, 0};         // .reqntid
  std::uint32_t required_cluster[3] = {0, 0, 0};         // .reqnctapercluster
  bool explicit_cluster = false;                         // .explicitcluster
  bool blocks_are_clusters = false;                      // .blocksareclusters
  std::uint32_t max_cluster_blocks = 0;                  // .maxclusterrank
  std::uint32_t min_blocks = 0;                          // .minnctapersm
  std::uint32_t max_registers = 0;                       // .maxnreg
};

struct Module {
  int version_major = 0, version_minor = 0;
  std::string target;  // "sm_90a"
  bool debug = false;  // .target sm_90a, debug
  std::vector<Variable> variables;
  std::vector<Function> functions;
  const Function* find(std::string_view name) const;
};

}  // namespace octavo::emulator::ptx
