#include "writer.hpp"

#include <fmt/format.h>

namespace octavo::emulator::random_ptx {

std::string Writer::reg(char letter) {
  for (const Pool& pool : kPools)
    if (pool.letter == letter) return fmt::format("{}{}", pool.prefix, below(pool.count));
  return {};
}

std::string Writer::immediate(char letter) {
  static constexpr std::string_view kFloats[] = {
      "0f00000000", "0f80000000", "0f3F800000", "0fBF000000", "0f7F800000", "0f00000001",
      "0f4B800001", "0f7F7FFFFF", "0f33800000", "0f7FFFFFFF", "0fC2F6E979", "0f3EAAAAAB",
  };
  static constexpr std::string_view kIntegers[] = {
      "0",  "1",  "-1",  "2",          "7",           "31",         "32",
      "33", "64", "255", "0x7FFFFFFF", "-2147483648", "0x55AA33CC", "-12345",
  };
  if (letter == 'F') return std::string(one_of(kFloats));
  return std::string(one_of(kIntegers));
}

std::string Writer::filled(std::string_view text) {
  static constexpr std::string_view kSigned[] = {"eq", "ne", "lt", "le", "gt", "ge"};
  static constexpr std::string_view kUnsigned[] = {"eq", "ne", "lt", "le", "gt",
                                                   "ge", "lo", "ls", "hi", "hs"};
  static constexpr std::string_view kFloat[] = {"eq",  "ne",  "lt",  "le",  "gt",  "ge",  "equ",
                                                "neu", "ltu", "leu", "gtu", "geu", "num", "nan"};
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '$' && text[i] != '@') {
      result += text[i];
      continue;
    }
    const char letter = text[i + 1];
    if (text[i] == '@') {
      result += letter == 'c'   ? one_of(kSigned)
                : letter == 'u' ? one_of(kUnsigned)
                                : one_of(kFloat);
    } else if (letter == 'n') {
      result += one_in(2) ? "!%p" : "%p";
      result += std::to_string(below(8));  // %p7, the second of pairs, too
    } else if (letter == 'k') {
      result += std::to_string(below(32));
    } else if (letter >= 'a') {
      result += reg(letter);
    } else {
      result += one_in(3) ? immediate(letter) : reg(static_cast<char>(letter - 'A' + 'a'));
    }
    ++i;
  }
  return result;
}

void Writer::operation(std::string_view chosen) {
  std::string guard;
  if (one_in(6)) guard = "@" + filled("$n ");
  while (!chosen.empty()) {
    const std::size_t end = chosen.find(';');
    line(guard + filled(chosen.substr(0, end)));
    chosen.remove_prefix(end == std::string_view::npos ? chosen.size() : end + 2);
  }
}

}  // namespace octavo::emulator::random_ptx
