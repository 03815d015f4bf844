#include "ptx/declaration.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <span>

#include "ptx/constant.hpp"
#include "ptx/types.hpp"

namespace octavo::emulator::ptx {
namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 40;
constexpr std::uint64_t kMostAlignment = std::uint64_t{1} << 20;
constexpr std::size_t kMostDimensions = 16;

// Reads the values of an array or scalar in order of memory.
class Initialiser {
 public:
  Initialiser(Lexer& lexer, Variable& variable, std::uint64_t& budget)
      : lexer_(lexer),
        variable_(variable),
        element_(static_cast<std::uint64_t>(bytes_of(variable.type))),
        budget_(budget) {}

  // `strides`: the bytes of an element of each dimension, outermost first.
  void read(std::span<const std::uint64_t> strides) {
    if (strides.empty()) return value();
    lexer_.expect("{");
    if (lexer_.accept("}")) return;
    do {
      const std::uint64_t start = variable_.initial.size();
      if (lexer_.at("{")) {
        if (strides.size() == 1) lexer_.fail_expected("a value");
        read(strides.subspan(1));
        pad(start, strides[0]);
      } else {
        value();
      }
    } while (lexer_.accept(","));
    lexer_.expect("}");
  }

 private:
  void spend(std::uint64_t bytes) {
    if (bytes > budget_) lexer_.fail_expected("smaller initialisers");
    budget_ -= bytes;
  }

  void pad(std::uint64_t start, std::uint64_t stride) {
    const std::uint64_t written = variable_.initial.size() - start;
    if (written > stride) lexer_.fail_expected("a row no longer than its dimension");
    spend(stride - written);
    variable_.initial.resize(start + stride);
  }

  void value() {
    spend(element_);
    if (at_constant(lexer_)) return constant();
    const bool generic = lexer_.peek().text == "generic" && lexer_.peek_second().text == "(";
    if (generic) lexer_.take(), lexer_.take();
    const int line = lexer_.peek().line;
    Variable::Relocation relocation{variable_.initial.size(),
                                    lexer_.expect_identifier("a value or a name"), 0};
    if (generic) lexer_.expect(")");
    if (element_ != 8) Lexer::fail(line, "an address: expected a variable of 64-bit elements");
    if (lexer_.at("+") || lexer_.at("-")) {
      relocation.addend = static_cast<std::int64_t>(parse_constant(lexer_).bits);
    }
    variable_.relocations.push_back(std::move(relocation));
    append(0);
  }

  void constant() {
    const int line = lexer_.peek().line;
    const Constant value = parse_constant(lexer_);
    const bool is_float = variable_.type == Type::f32 || variable_.type == Type::f64;
    if (value.float_bits == 0) {
      if (!is_float) return append(value.bits);
      const auto number = static_cast<double>(static_cast<std::int64_t>(value.bits));
      return append(float_bits(number));
    }
    const double number = value.float_bits == 64
                              ? std::bit_cast<double>(value.bits)
                              : std::bit_cast<float>(static_cast<std::uint32_t>(value.bits));
    if (is_float) return append(float_bits(number));
    if (value.float_bits != 8 * element_) Lexer::fail(line, "a float: expected an integer");
    append(value.bits);
  }

  std::uint64_t float_bits(double number) const {
    if (variable_.type == Type::f64) return std::bit_cast<std::uint64_t>(number);
    return std::bit_cast<std::uint32_t>(static_cast<float>(number));
  }

  void append(std::uint64_t bits) {
    for (std::uint64_t i = 0; i < element_; ++i) {
      variable_.initial.push_back(static_cast<std::uint8_t>(i < 8 ? bits >> (8 * i) : 0));
    }
  }

  Lexer& lexer_;
  Variable& variable_;
  const std::uint64_t element_;
  std::uint64_t& budget_;
};

void skip_parentheses(Lexer& lexer) {
  lexer.expect("(");
  for (int depth = 1; depth > 0;) {
    if (lexer.peek().kind == Token::Kind::end) lexer.fail_expected("`)`");
    depth += lexer.at("(") ? 1 : lexer.at(")") ? -1 : 0;
    lexer.take();
  }
}

// Dimensions outermost first; 0 stands for the one that [] leaves to the initialiser.
std::vector<std::uint64_t> parse_dimensions(Lexer& lexer) {
  std::vector<std::uint64_t> dimensions;
  while (lexer.accept("[")) {
    if (dimensions.size() == kMostDimensions) lexer.fail_expected("fewer dimensions");
    if (lexer.at("]")) {
      if (!dimensions.empty()) lexer.fail_expected("a size");
      dimensions.push_back(0);
    } else {
      dimensions.push_back(parse_count(lexer, kMostBytes));
    }
    lexer.expect("]");
  }
  return dimensions;
}

}  // namespace

Space space_named(std::string_view directive) {
  if (directive == "param") return Space::param;
  if (directive == "global") return Space::global;
  if (directive == "shared" || directive == "shared::cta") return Space::shared;
  if (directive == "local") return Space::local;
  if (directive == "const") return Space::constant;
  return Space::generic;
}

DeclarationHead parse_head(Lexer& lexer, Space space, bool external) {
  DeclarationHead head;
  head.space = space;
  head.external = external;
  bool pointer = false;  // after .ptr: how what it points to is placed, which is advice only
  while (lexer.peek().kind == Token::Kind::directive) {
    const std::string_view name = lexer.peek().text;
    if (type_named(name) != Type::none) {
      if (head.type != Type::none) lexer.fail_expected("one type");
      head.type = type_named(name);
      lexer.take();
    } else if (name == "align") {
      lexer.take();
      const int line = lexer.peek().line;
      const std::uint64_t alignment = parse_count(lexer, kMostAlignment);
      if (!std::has_single_bit(alignment)) Lexer::fail(line, ".align: expected a power of two");
      if (!pointer) head.alignment = static_cast<std::uint32_t>(alignment);
    } else if (name == "v2" || name == "v4") {
      lexer.take();
      head.width = name == "v2" ? 2 : 4;
    } else if (name == "attribute") {
      lexer.take();
      skip_parentheses(lexer);
    } else if (name == "ptr" || (pointer && space_named(name) != Space::generic)) {
      lexer.take();
      pointer = true;
    } else {
      lexer.fail_expected("a type, .align or .ptr");
    }
  }
  if (head.type == Type::none || head.type == Type::pred) lexer.fail_expected("a type");
  const auto natural = static_cast<std::uint32_t>(bytes_of(head.type)) * head.width;
  if (head.alignment == 0) head.alignment = natural;
  return head;
}

Variable parse_declarator(Lexer& lexer, const DeclarationHead& head, std::uint64_t& budget) {
  Variable variable;
  const int line = lexer.peek().line;
  variable.name = lexer.expect_identifier("a name");
  variable.space = head.space;
  variable.type = head.type;
  variable.alignment = head.alignment;
  variable.external = head.external;

  std::vector<std::uint64_t> dimensions = parse_dimensions(lexer);
  const bool open = !dimensions.empty() && dimensions[0] == 0;
  if (head.width > 1) dimensions.push_back(head.width);
  std::vector<std::uint64_t> strides(dimensions.size());
  auto bytes = static_cast<std::uint64_t>(bytes_of(head.type));
  for (std::size_t i = dimensions.size(); i-- > 0;) {
    strides[i] = bytes;
    if (dimensions[i] != 0 && bytes > kMostBytes / dimensions[i]) {
      Lexer::fail(line, fmt::format("`{}`: expected at most 2^40 bytes", variable.name));
    }
    bytes *= dimensions[i];
  }
  variable.bytes = bytes;

  if (lexer.accept("=")) {
    Initialiser(lexer, variable, budget).read(strides);
    const std::uint64_t given = variable.initial.size();
    if (open) {
      variable.bytes =
          (given + strides[0] - 1) / std::max<std::uint64_t>(strides[0], 1) * strides[0];
    } else if (given > variable.bytes) {
      Lexer::fail(line, fmt::format("`{}`: expected at most {} bytes of initial values, not {}",
                                    variable.name, variable.bytes, given));
    }
  }
  return variable;
}

}  // namespace octavo::emulator::ptx
