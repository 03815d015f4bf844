// PTX text -> tokens, read one at a time with one token of lookahead.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace octavo::emulator::ptx {

struct Token {
  enum class Kind : std::uint8_t {
    end,
    identifier,   // text: "%r1", "$L__BB0_2", "_", "foo"
    directive,    // text without the dot: "global", "shared::cluster", "2d"
    integer,      // bits
    real,         // bits and float_bits, 32 ("0f3F800000") or 64 ("0d...", "1.5")
    text,         // what stands between quotes
    punctuation,  // text: one or two characters
  };
  Kind kind = Kind::end;
  std::string_view text;
  int line = 1;
  std::uint64_t bits = 0;
  bool is_unsigned = false;  // integer: written with a U, or beyond the range of s64
  std::uint8_t float_bits = 0;
};

class Lexer {
 public:
  explicit Lexer(std::string_view text);

  const Token& peek() const { return current_; }
  const Token& peek_second() const { return next_; }
  Token take();

  bool at(std::string_view punctuation) const;  // whether the next token is this punctuation
  bool accept(std::string_view punctuation);    // and takes it if so
  void expect(std::string_view punctuation);
  std::string expect_identifier(std::string_view what);
  bool at_directive(std::string_view name) const;
  bool accept_directive(std::string_view name);
  void skip_line();  // drops what follows on the line of the last token taken

  // Throws the Fault "line N: `token`: expected WHAT" for the next token.
  [[noreturn]] void fail_expected(std::string_view what) const;
  [[noreturn]] static void fail(int line, std::string_view message);

 private:
  Token scan();
  void skip_blank();
  Token scan_number(Token token);
  Token scan_punctuation(Token token);
  [[noreturn]] void malformed(const Token& token, std::size_t length, std::string_view what) const;

  std::string_view text_;
  std::size_t at_ = 0;
  int line_ = 1;
  int last_line_ = 1;
  Token current_, next_;
};

}  // namespace octavo::emulator::ptx
