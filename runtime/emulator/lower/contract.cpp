#include "lower/contract.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <ranges>
#include <unordered_map>

#include "lower/contract_rules.hpp"
#include "lower/graph.hpp"
#include "lower/numbers.hpp"

namespace octavo::emulator::lower {
namespace {

using ptx::Instruction;
using ptx::Operand;
using ptx::RegisterId;

class Contraction {
 public:
  explicit Contraction(ptx::Function& function) : function_(function), body_(function.body) {
    for (const Instruction& instruction : body_) rows_.push_back(&check(instruction));
    begins_ = block_begins(function, rows_);
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
