#include "lower/contract.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <ranges>
#include <unordered_map>

#include "lower/graph.hpp"
#include "lower/numbers.hpp"

namespace octavo::emulator::lower {
namespace {

using ptx::Instruction;
using ptx::Operand;
using ptx::RegisterId;
using ptx::Type;

bool names_rounding(const Instruction& instruction) {
  return instruction.has("rn") || rounding_of(instruction) != 0;
}

// A product or sum that ptxas may fuse: pairs of f32 though they say .rn.
bool may_fuse(const Instruction& instruction) {
  const Type type = instruction.type();
  if (type == Type::f32x2) return rounding_of(instruction) == 0;
  return (is_float(type) || is_packed(type)) && !names_rounding(instruction);
}

bool is_sum(const Instruction& instruction) {
  return (instruction.opcode == "add" || instruction.opcode == "sub") && may_fuse(instruction);
}

bool is_product(const Instruction& instruction) {
  return instruction.opcode == "mul" && may_fuse(instruction) && !instruction.guarded &&
         !instruction.has("sat") && instruction.operands[0].kind == Operand::Kind::reg;
}

bool fit_together(const Instruction& product, const Instruction& sum) {
  return product.type() == sum.type() && product.has("ftz") == sum.has("ftz");
}

// Another name for a product, or for its opposite.
bool is_copy(const Instruction& copy, const Instruction& product) {
  if (copy.guarded || copy.operands.size() != 2) return false;
  if (copy.operands[0].kind != Operand::Kind::reg || copy.operands[1].kind != Operand::Kind::reg)
    return false;
  if (copy.opcode == "mov") return true;
  return copy.opcode == "neg" && copy.type() == product.type() && copy.type() != Type::bf16x2 &&
         (!copy.has("ftz") || product.has("ftz"));
}

// Whether ptxas makes more than one basic block of an arithmetic instruction.
bool has_slow_path(const Instruction& instruction) {
  const std::string& opcode = instruction.opcode;
  if (opcode == "rcp" || opcode == "sqrt") return names_rounding(instruction);
  if (opcode != "div" && opcode != "rem") return false;
  if (is_float(instruction.type())) return names_rounding(instruction);
  return instruction.type() != Type::u32;
}

// Whether a basic block of ptxas's ends with the instruction. Where arithmetic has a guard it
// chooses between values; anything else with one becomes a branch.
bool ends_block(const Instruction& instruction, const Row& row) {
  static constexpr std::string_view kEnds[] = {"bra",  "brx",   "call",    "ret",    "exit",
                                               "trap", "brkpt", "pmevent", "membar", "setmaxnreg"};
  if (std::ranges::find(kEnds, instruction.opcode) != std::end(kEnds)) return true;
  if (row.opcode == "fence" && (instruction.has("acq_rel") || instruction.has("sc"))) return true;
  if (instruction.has("launch_dependents") || has_slow_path(instruction)) return true;
  const bool is_arithmetic = row.flow == Flow::plain && is_destination(row, instruction, 0) &&
                             row.operands.find('m') == row.operands.npos &&
                             instruction.opcode != "activemask";
  return instruction.guarded && !is_arithmetic;
}

class Contraction {
 public:
  explicit Contraction(ptx::Function& function) : function_(function), body_(function.body) {
    for (const Instruction& instruction : body_) rows_.push_back(&check(instruction));
    find_blocks();
    find_exposed();
    dropped_.resize(body_.size());
    copies_before_.resize(body_.size());
  }

  void run() {
    for (std::size_t i = 0; i < body_.size(); ++i) {
      if (begins_[i]) end_block();
      visit(i);
    }
    end_block();
    if (changed_) rebuild();
  }

 private:
  static constexpr std::size_t kNever = std::numeric_limits<std::size_t>::max();

  struct Product {
    std::size_t at = 0;
    std::vector<std::size_t> copies;   // instructions that give it another name
    unsigned uses = 0;                 // in sums
    bool kept = false;                 // it is needed for itself too
    std::size_t overwritten = kNever;  // where a factor's register gets another value
    std::size_t last = 0;              // the last sum that it is fused into
    std::array<Operand, 2> factors{};
  };
  struct Value {  // of a register: a product or its opposite
    std::size_t product;
    bool negated;
  };
  struct Sum {
    std::size_t at = 0;
    std::array<std::optional<Value>, 2> terms{};
    int fused = -1;  // the term that is
  };

  // A jump to what follows it joins two blocks into one, and a label that nothing jumps to ends
  // none.
  void find_blocks() {
    std::unordered_map<std::string_view, std::size_t> labels;
    for (const ptx::Label& label : function_.labels) labels[label.name] = label.instruction;
    begins_.resize(body_.size() + 1);
    for (const auto& targets : function_.branch_targets) {
      for (const std::string& target : targets) begins_[labels.at(target)] = true;
    }
    for (std::size_t i = 0; i < body_.size(); ++i) {
      const bool jumps = body_[i].opcode == "bra";
      const std::size_t target = jumps ? labels.at(body_[i].operands[0].text) : i;
      if (jumps && !body_[i].guarded && target == i + 1) continue;
      if (jumps) begins_[target] = true;
      if (ends_block(body_[i], *rows_[i])) begins_[i + 1] = true;
    }
  }

  // Registers that some block reads before it writes them.
  void find_exposed() {
    exposed_.resize(function_.registers.size());
    std::vector<std::size_t> written(exposed_.size(), kNever);  // the last block that writes it
    std::size_t block = 0;
    for (std::size_t i = 0; i < body_.size(); ++i) {
      block += begins_[i] ? 1 : 0;
      const auto read = [&](RegisterId reg) {
        if (written[reg] != block) exposed_[reg] = true;
      };
      visit_reads(i, read);
      visit_writes(i, [&](RegisterId reg) { written[reg] = block; });
    }
  }

  // Those that a guarded instruction may leave as they are among them.
  void visit_reads(std::size_t i, const auto& read) const {
    visit_operands(*rows_[i], body_[i], read, [&](RegisterId reg) {
      if (body_[i].guarded) read(reg);
    });
  }

  void visit_writes(std::size_t i, const auto& write) const {
    visit_operands(*rows_[i], body_[i], [](RegisterId) {}, write);
  }

  std::optional<Value> value_of(const Operand& operand) const {
    const auto found =
        operand.kind == Operand::Kind::reg ? values_.find(operand.reg) : values_.end();
    return found == values_.end() ? std::nullopt : std::optional(found->second);
  }

  void visit(std::size_t i) {
    const Instruction& instruction = body_[i];
    std::optional<Value> copied;
    if (instruction.operands.size() == 2) copied = value_of(instruction.operands[1]);
    if (copied && !is_copy(instruction, body_[products_[copied->product].at])) copied.reset();
    if (is_sum(instruction)) {
      add_sum(i);
    } else if (!copied) {
      visit_reads(i, [&](RegisterId reg) { keep(reg); });
    }
    const std::size_t made = products_.size();
    if (is_product(instruction)) add_product(i);
    visit_writes(i, [&](RegisterId reg) {
      values_.erase(reg);
      for (const std::size_t product : with_factor_[reg])
        products_[product].overwritten = std::min(products_[product].overwritten, i);
      with_factor_.erase(reg);
    });
    if (made != products_.size()) values_[instruction.operands[0].reg] = {made, false};
    if (!copied) return;
    products_[copied->product].copies.push_back(i);
    values_[instruction.operands[0].reg] = {copied->product,
                                            copied->negated != (instruction.opcode == "neg")};
  }

  void keep(RegisterId reg) {
    const auto found = values_.find(reg);
    if (found != values_.end()) products_[found->second.product].kept = true;
  }

  void add_product(std::size_t i) {
    Product product;
    product.at = i;
    product.factors = {body_[i].operands[1], body_[i].operands[2]};
    for (const Operand& factor : product.factors)
      if (factor.kind == Operand::Kind::reg) with_factor_[factor.reg].push_back(products_.size());
    products_.push_back(std::move(product));
  }

  void add_sum(std::size_t i) {
    const Instruction& instruction = body_[i];
    Sum sum;
    sum.at = i;
    sum.terms = {value_of(instruction.operands[1]), value_of(instruction.operands[2])};
    auto& [first, second] = sum.terms;
    const bool same = first && second && first->product == second->product;
    for (std::optional<Value>& term : sum.terms) {
      if (!term) continue;
      Product& product = products_[term->product];
      if (same || !fit_together(body_[product.at], instruction)) {
        product.kept = true;
        term.reset();
      } else {
        ++product.uses;
      }
    }
    if (instruction.guarded) visit_writes(i, [&](RegisterId reg) { keep(reg); });
    sums_.push_back(sum);
  }

  void end_block() {
    for (const auto& [reg, value] : values_)
      if (exposed_[reg]) products_[value.product].kept = true;
    // What is used once goes first; where both terms can be fused, the one that is used less often.
    for (const bool once : {true, false})
      for (Sum& sum : sums_) choose_term(sum, once);
    for (Product& product : products_) settle(product);
    for (const Sum& sum : sums_)
      if (sum.fused >= 0) fuse(sum);
    values_.clear();
    with_factor_.clear();
    products_.clear();
    sums_.clear();
  }

  void choose_term(Sum& sum, bool once) {
    if (sum.fused >= 0) return;
    unsigned fewest = once ? 2 : std::numeric_limits<unsigned>::max();
    for (int i = 0; i < 2; ++i) {
      const auto& term = sum.terms[static_cast<std::size_t>(i)];
      if (!term || products_[term->product].kept || products_[term->product].uses >= fewest)
        continue;
      fewest = products_[term->product].uses;
      sum.fused = i;
    }
    if (sum.fused < 0) return;
    products_[sum.terms[static_cast<std::size_t>(sum.fused)]->product].last = sum.at;
    const auto& other = sum.terms[static_cast<std::size_t>(1 - sum.fused)];
    if (other) products_[other->product].kept = true;
  }

  // Once it is known where the product is fused: drops it where it is no longer needed, and keeps
  // its factors in registers of their own where others would be gone by then.
  void settle(Product& product) {
    if (product.last == 0) return;
    changed_ = true;
    if (!product.kept) {
      dropped_[product.at] = true;
      for (const std::size_t copy : product.copies) dropped_[copy] = true;
    }
    if (product.last <= product.overwritten) return;
    for (Operand& factor : product.factors) {
      if (factor.kind != Operand::Kind::reg) continue;
      Instruction copy;
      copy.line = body_[product.at].line;
      copy.opcode = "mov";
      const unsigned bits = bits_of(function_.registers[factor.reg].type);
      copy.modifiers = {"b" + std::to_string(bits)};
      copy.operands = {factor, factor};
      copy.operands[0].reg = static_cast<RegisterId>(function_.registers.size());
      function_.registers.push_back(function_.registers[factor.reg]);
      factor = copy.operands[0];
      copies_before_[product.at].push_back(std::move(copy));
    }
  }

  void fuse(const Sum& sum) {
    const auto term = static_cast<std::size_t>(sum.fused);
    const Value& value = *sum.terms[term];
    auto [a, b] = products_[value.product].factors;
    Instruction& instruction = body_[sum.at];
    Operand c = instruction.operands[2 - term];
    const bool subtracts = instruction.opcode == "sub";
    a.negated = value.negated != (subtracts && term == 1);
    c.negated = subtracts && term == 0;
    instruction.opcode = "fma";
    std::erase(instruction.modifiers, "rn");
    instruction.modifiers.insert(instruction.modifiers.begin(), "rn");
    instruction.operands = {instruction.operands[0], a, b, c};
  }

  void rebuild() {
    std::vector<Instruction> body;
    std::vector<std::size_t> moved;
    for (std::size_t i = 0; i < body_.size(); ++i) {
      moved.push_back(body.size());
      std::ranges::move(copies_before_[i], std::back_inserter(body));
      if (!dropped_[i]) body.push_back(std::move(body_[i]));
    }
    moved.push_back(body.size());
    body_ = std::move(body);
    for (ptx::Label& label : function_.labels) label.instruction = moved[label.instruction];
  }

  ptx::Function& function_;
  std::vector<Instruction>& body_;
  std::vector<const Row*> rows_;
  std::vector<bool> begins_;   // a basic block, by instruction
  std::vector<bool> exposed_;  // by register
  bool changed_ = false;
  std::vector<bool> dropped_;
  std::vector<std::vector<Instruction>> copies_before_;

  // Of the block under way.
  std::vector<Product> products_;
  std::vector<Sum> sums_;
  std::unordered_map<RegisterId, Value> values_;
  std::unordered_map<RegisterId, std::vector<std::size_t>> with_factor_;  // products
};

}  // namespace

void contract(ptx::Function& function) { Contraction(function).run(); }

}  // namespace octavo::emulator::lower
