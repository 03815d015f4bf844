#include "ptx/constant.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>

namespace octavo::emulator::ptx {
namespace {

constexpr int kDeepest = 64;  // of parentheses and signs

struct Operator {
  std::string_view text;
  int precedence;
};
constexpr std::array<Operator, 18> kOperators = {{{"||", 1},
                                                  {"&&", 2},
                                                  {"|", 3},
                                                  {"^", 4},
                                                  {"&", 5},
                                                  {"==", 6},
                                                  {"!=", 6},
                                                  {"<", 7},
                                                  {"<=", 7},
                                                  {">", 7},
                                                  {">=", 7},
                                                  {"<<", 8},
                                                  {">>", 8},
                                                  {"+", 9},
                                                  {"-", 9},
                                                  {"*", 10},
                                                  {"/", 10},
                                                  {"%", 10}}};

class Expression {
 public:
  explicit Expression(Lexer& lexer) : lexer_(lexer) {}

  Constant ternary(int depth) {
    const Constant condition = binary(0, depth);
    if (!lexer_.accept("?")) return condition;
    deeper(depth);
    integer(condition);
    const Constant yes = ternary(depth + 1);
    lexer_.expect(":");
    const Constant no = ternary(depth + 1);
    return condition.bits != 0 ? yes : no;
  }

 private:
  void deeper(int depth) {
    if (depth >= kDeepest) lexer_.fail_expected("a less deeply nested expression");
  }

  void integer(const Constant& value) {
    if (value.float_bits != 0) lexer_.fail_expected("integers on both sides of the operator");
  }

  Constant binary(int above, int depth) {
    Constant left = unary(depth);
    while (lexer_.peek().kind == Token::Kind::punctuation) {
      const auto row = std::ranges::find(kOperators, lexer_.peek().text, &Operator::text);
      if (row == kOperators.end() || row->precedence <= above) break;
      integer(left);
      const int line = lexer_.take().line;
      deeper(depth);
      const Constant right = binary(row->precedence, depth + 1);
      integer(right);
      left = apply(row->text, left, right, line);
    }
    return left;
  }

  Constant unary(int depth) {
    deeper(depth);
    if (lexer_.accept("-")) {
      Constant value = unary(depth + 1);
      if (value.float_bits != 0) {
        value.bits ^= std::uint64_t{1} << (value.float_bits - 1);
      } else {
        value.bits = 0 - value.bits;
        value.is_unsigned = false;
      }
      return value;
    }
    if (lexer_.accept("+")) return unary(depth + 1);
    if (lexer_.accept("~")) {
      Constant value = unary(depth + 1);
      integer(value);
      value.bits = ~value.bits;
      return value;
    }
    if (lexer_.accept("!")) {
      const Constant value = unary(depth + 1);
      integer(value);
      return {.bits = value.bits == 0};
    }
    return primary(depth);
  }

  Constant primary(int depth) {
    const Token& token = lexer_.peek();
    if (token.kind == Token::Kind::integer || token.kind == Token::Kind::real) {
      const Token taken = lexer_.take();
      return {taken.bits, taken.is_unsigned, taken.float_bits};
    }
    if (token.kind == Token::Kind::identifier && token.text == "WARP_SZ") {
      lexer_.take();
      return {.bits = 32};
    }
    if (!lexer_.accept("(")) lexer_.fail_expected("a constant");
    if (lexer_.at_directive("s64") || lexer_.at_directive("u64")) {
      const bool is_unsigned = lexer_.take().text == "u64";
      lexer_.expect(")");
      Constant value = unary(depth + 1);
      integer(value);
      value.is_unsigned = is_unsigned;
      return value;
    }
    const Constant value = ternary(depth + 1);
    lexer_.expect(")");
    return value;
  }

  static Constant apply(std::string_view op, Constant a, Constant b, int line) {
    const bool is_unsigned = a.is_unsigned || b.is_unsigned;
    const auto s = static_cast<std::int64_t>(a.bits);
    const auto t = static_cast<std::int64_t>(b.bits);
    const auto of = [&](std::uint64_t bits) { return Constant{bits, is_unsigned, 0}; };
    const auto less = [&](bool swapped) {
      if (is_unsigned) return swapped ? b.bits < a.bits : a.bits < b.bits;
      return swapped ? t < s : s < t;
    };
    if (op == "+") return of(a.bits + b.bits);
    if (op == "-") return of(a.bits - b.bits);
    if (op == "*") return of(a.bits * b.bits);
    if (op == "/" || op == "%") return of(divide(op == "%", a.bits, b.bits, is_unsigned, line));
    if (op == "&") return of(a.bits & b.bits);
    if (op == "|") return of(a.bits | b.bits);
    if (op == "^") return of(a.bits ^ b.bits);
    if (op == "<<") return {b.bits > 63 ? 0 : a.bits << b.bits, a.is_unsigned, 0};
    if (op == ">>") {
      const int by = static_cast<int>(std::min<std::uint64_t>(b.bits, 63));
      if (!a.is_unsigned) return {static_cast<std::uint64_t>(s >> by), false, 0};
      return {b.bits > 63 ? 0 : a.bits >> by, true, 0};
    }
    bool truth = false;
    if (op == "&&") truth = a.bits != 0 && b.bits != 0;
    if (op == "||") truth = a.bits != 0 || b.bits != 0;
    if (op == "==") truth = a.bits == b.bits;
    if (op == "!=") truth = a.bits != b.bits;
    if (op == "<") truth = less(false);
    if (op == ">") truth = less(true);
    if (op == "<=") truth = !less(true);
    if (op == ">=") truth = !less(false);
    return {.bits = truth};
  }

  static std::uint64_t divide(bool remainder, std::uint64_t a, std::uint64_t b, bool is_unsigned,
                              int line) {
    if (b == 0) Lexer::fail(line, "division by zero: expected another divisor");
    if (is_unsigned) return remainder ? a % b : a / b;
    // The one quotient that does not fit would trap on the host.
    if (b == ~std::uint64_t{0}) return remainder ? 0 : 0 - a;
    const auto s = static_cast<std::int64_t>(a);
    const auto t = static_cast<std::int64_t>(b);
    return static_cast<std::uint64_t>(remainder ? s % t : s / t);
  }

  Lexer& lexer_;
};

}  // namespace

bool at_constant(const Lexer& lexer) {
  const Token& token = lexer.peek();
  switch (token.kind) {
    case Token::Kind::integer:
    case Token::Kind::real:
      return true;
    case Token::Kind::identifier:
      return token.text == "WARP_SZ";
    default:
      return lexer.at("-") || lexer.at("+") || lexer.at("~") || lexer.at("!") || lexer.at("(");
  }
}

Constant parse_constant(Lexer& lexer) { return Expression(lexer).ternary(0); }

std::uint64_t parse_count(Lexer& lexer, std::uint64_t most) {
  const int line = lexer.peek().line;
  const Constant value = parse_constant(lexer);
  if (value.float_bits != 0 || value.bits > most) {
    Lexer::fail(line,
                fmt::format("`{}`: expected an integer from 0 to {}",
                            value.float_bits != 0 ? "float" : std::to_string(value.bits), most));
  }
  return value.bits;
}

}  // namespace octavo::emulator::ptx
