// Integer instructions of evaluate().
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "ptx/ast.hpp"

namespace octavo::emulator::random_ptx {

using Sources = std::span<const std::uint64_t>;

inline int width_of(ptx::Type type) { return 8 * ptx::bytes_of(type); }

inline bool is_signed(ptx::Type type) {
  using enum ptx::Type;
  return type == s8 || type == s16 || type == s32 || type == s64;
}

inline bool is_float(ptx::Type type) {
  using enum ptx::Type;
  return type == f16 || type == bf16 || type == f32 || type == f64;
}

// Wide enough for every product of 64-bit integers.
__extension__ using Wide = __int128;

// The value of the low `width` bits.
inline Wide value_of(std::uint64_t bits, int width, bool with_sign) {
  const std::uint64_t low = width == 64 ? bits : bits & ((std::uint64_t{1} << width) - 1);
  if (!with_sign || !(low >> (width - 1))) return static_cast<Wide>(low);
  return static_cast<Wide>(low) - (static_cast<Wide>(1) << width);
}
inline Wide value_of(std::uint64_t bits, ptx::Type type) {
  return value_of(bits, width_of(type), is_signed(type));
}

std::optional<std::uint64_t> evaluate_integer(const ptx::Instruction& instruction, Sources sources);

}  // namespace octavo::emulator::random_ptx
