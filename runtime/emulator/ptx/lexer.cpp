#include "ptx/lexer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <system_error>

#include "fault.hpp"

namespace octavo::emulator::ptx {
namespace {

// The text is not trusted and locales are none of our business: ASCII only.
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool starts_name(char c) { return is_letter(c) || c == '_' || c == '$' || c == '%'; }
bool continues_name(char c) { return is_letter(c) || is_digit(c) || c == '_' || c == '$'; }

constexpr std::string_view kSingle = "{}[]()<>,;:+-*/%&|^~!?=@";
constexpr std::array<std::string_view, 8> kDouble = {"<<", ">>", "&&", "||",
                                                     "==", "!=", "<=", ">="};

// A name longer than this is no name; it also bounds what one lookup costs.
constexpr std::size_t kLongestName = 4096;

// What a message shows of the text: one line, printable, short.
std::string shown(std::string_view text) {
  constexpr std::size_t kLongest = 40;
  std::string result;
  for (char c : text.substr(0, kLongest)) result += c >= ' ' && c <= '~' ? c : '?';
  if (text.size() > kLongest) result += "...";
  return result;
}

}  // namespace

Lexer::Lexer(std::string_view text) : text_(text) {
  current_ = scan();
  next_ = scan();
}

Token Lexer::take() {
  Token taken = current_;
  last_line_ = taken.line;
  current_ = next_;
  if (next_.kind != Token::Kind::end) next_ = scan();
  return taken;
}

bool Lexer::at(std::string_view punctuation) const {
  return current_.kind == Token::Kind::punctuation && current_.text == punctuation;
}

bool Lexer::accept(std::string_view punctuation) {
  if (!at(punctuation)) return false;
  take();
  return true;
}

void Lexer::expect(std::string_view punctuation) {
  if (!accept(punctuation)) fail_expected(fmt::format("`{}`", punctuation));
}

std::string Lexer::expect_identifier(std::string_view what) {
  if (current_.kind != Token::Kind::identifier) fail_expected(what);
  return std::string(take().text);
}

bool Lexer::at_directive(std::string_view name) const {
  return current_.kind == Token::Kind::directive && current_.text == name;
}

bool Lexer::accept_directive(std::string_view name) {
  if (!at_directive(name)) return false;
  take();
  return true;
}

void Lexer::skip_line() {
  const int line = last_line_;
  while (current_.kind != Token::Kind::end && current_.line == line) take();
}

void Lexer::fail(int line, std::string_view message) {
  throw Fault(CUDA_ERROR_INVALID_PTX, fmt::format("line {}: {}", line, message));
}

void Lexer::fail_expected(std::string_view what) const {
  std::string found = "end of text";
  if (current_.kind != Token::Kind::end) {
    const std::string_view dot = current_.kind == Token::Kind::directive ? "." : "";
    found = fmt::format("`{}{}`", dot, shown(current_.text));
  }
  fail(current_.line, fmt::format("{}: expected {}", found, what));
}

void Lexer::malformed(const Token& token, std::size_t length, std::string_view what) const {
  const std::size_t start = static_cast<std::size_t>(token.text.data() - text_.data());
  fail(token.line, fmt::format("`{}`: expected {}", shown(text_.substr(start, length)), what));
}

void Lexer::skip_blank() {
  while (at_ < text_.size()) {
    const char c = text_[at_];
    const std::string_view rest = text_.substr(at_, 2);
    if (c == '\n') {
      ++line_;
      ++at_;
    } else if (c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v') {
      ++at_;
    } else if (rest == "//") {
      at_ = std::min(text_.find('\n', at_), text_.size());
    } else if (rest == "/*") {
      const std::size_t end = text_.find("*/", at_ + 2);
      if (end == std::string_view::npos) fail(line_, "`/*`: expected a closing `*/`");
      line_ += static_cast<int>(std::ranges::count(text_.substr(at_, end - at_), '\n'));
      at_ = end + 2;
    } else {
      return;
    }
  }
}

Token Lexer::scan() {
  skip_blank();
  Token token;
  token.line = line_;
  token.text = text_.substr(at_, 1);
  if (at_ == text_.size()) return token;
  const char c = text_[at_];
  std::size_t end = at_ + 1;
  if (is_digit(c)) return scan_number(token);
  if (starts_name(c) && !(c == '%' && (end == text_.size() || !continues_name(text_[end])))) {
    while (end < text_.size() && continues_name(text_[end])) ++end;
    if (end - at_ > kLongestName) malformed(token, kLongestName, "a shorter name");
    token.kind = Token::Kind::identifier;
    token.text = text_.substr(at_, end - at_);
  } else if (c == '.' && end < text_.size() && continues_name(text_[end])) {
    while (end < text_.size()) {
      if (continues_name(text_[end])) {
        ++end;
      } else if (text_.substr(end, 2) == "::") {
        end += 2;
      } else {
        break;
      }
    }
    if (end - at_ > kLongestName) malformed(token, kLongestName, "a shorter name");
    token.kind = Token::Kind::directive;
    token.text = text_.substr(at_ + 1, end - at_ - 1);
  } else if (c == '"') {
    while (end < text_.size() && text_[end] != '"' && text_[end] != '\n') {
      end += text_[end] == '\\' && end + 1 < text_.size() && text_[end + 1] != '\n' ? 2 : 1;
    }
    if (end >= text_.size() || text_[end] != '"') malformed(token, end - at_, "a closing quote");
    token.kind = Token::Kind::text;
    token.text = text_.substr(at_ + 1, end - at_ - 1);
    ++end;
  } else {
    return scan_punctuation(token);
  }
  at_ = end;
  return token;
}

Token Lexer::scan_punctuation(Token token) {
  token.kind = Token::Kind::punctuation;
  if (std::ranges::find(kDouble, text_.substr(at_, 2)) != kDouble.end()) {
    token.text = text_.substr(at_, 2);
  } else if (kSingle.find(text_[at_]) == std::string_view::npos) {
    malformed(token, 1, "PTX");
  }
  at_ += token.text.size();
  return token;
}

// Integers: 12, 0x1F, 017, 0b101, with U after any; reals: 0f + 8 hex digits, 0d + 16, 1.5, 2e-3.
Token Lexer::scan_number(Token token) {
  std::size_t end = at_;
  while (end < text_.size() && continues_name(text_[end])) ++end;
  std::string_view word = text_.substr(at_, end - at_);
  const char prefix = word.size() > 1 && word[0] == '0' ? static_cast<char>(word[1] | 0x20) : ' ';
  const bool hex_float = prefix == 'f' || prefix == 'd';
  const bool has_point = end < text_.size() && text_[end] == '.' && prefix != 'x' && !hex_float &&
                         end + 1 < text_.size() && is_digit(text_[end + 1]);
  const bool has_exponent = prefix != 'x' && !hex_float && word.find_first_of("eE") < word.size();
  if (has_point || has_exponent) {
    double value = 0;
    const char* begin = text_.data() + at_;
    const auto [stop, error] = std::from_chars(begin, text_.data() + text_.size(), value);
    const std::size_t length = static_cast<std::size_t>(stop - begin);
    if (error != std::errc() || (at_ + length < text_.size() && continues_name(*stop))) {
      malformed(token, word.size() + 2, "a number");
    }
    token.kind = Token::Kind::real;
    token.text = text_.substr(at_, length);
    token.bits = std::bit_cast<std::uint64_t>(value);
    token.float_bits = 64;
    at_ += length;
    return token;
  }
  token.text = word;
  at_ = end;
  int base = 10;
  if (hex_float) {
    const std::size_t digits = prefix == 'f' ? 8 : 16;
    if (word.size() != digits + 2 || !std::ranges::all_of(word.substr(2), is_hex)) {
      malformed(token, word.size(), fmt::format("{} hexadecimal digits after it", digits));
    }
    token.float_bits = prefix == 'f' ? 32 : 64;
    base = 16;
  } else if (word.ends_with('U') || word.ends_with('u')) {
    token.is_unsigned = true;
    word.remove_suffix(1);
  }
  if (prefix == 'x') base = 16;
  if (prefix == 'b') base = 2;
  if (is_digit(prefix)) base = 8;
  if (base == 16 || base == 2) word.remove_prefix(2);
  const auto [stop, error] =
      std::from_chars(word.data(), word.data() + word.size(), token.bits, base);
  if (error != std::errc() || stop != word.data() + word.size()) {
    malformed(token, token.text.size(), "a number of at most 64 bits");
  }
  token.kind = hex_float ? Token::Kind::real : Token::Kind::integer;
  token.is_unsigned = token.is_unsigned || token.bits >> 63 != 0;
  return token;
}

}  // namespace octavo::emulator::ptx
