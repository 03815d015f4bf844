// Constant expressions of PTX: numbers, the operators of C, WARP_SZ and casts to .s64 and .u64.
#pragma once

#include <cstdint>

#include "ptx/lexer.hpp"

namespace octavo::emulator::ptx {

struct Constant {
  std::uint64_t bits = 0;
  bool is_unsigned = false;
  std::uint8_t float_bits = 0;  // 0 for an integer, else 32 or 64
};

// Whether the next token can start one.
bool at_constant(const Lexer& lexer);
Constant parse_constant(Lexer& lexer);

// A constant that must be an integer in [0, most].
std::uint64_t parse_count(Lexer& lexer, std::uint64_t most);

}  // namespace octavo::emulator::ptx
