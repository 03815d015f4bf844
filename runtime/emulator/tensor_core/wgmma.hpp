// wgmma: what one warp of a warpgroup computes of it, 16 rows of A times B, bit for bit as Hopper.
#pragma once

#include <cstdint>

#include "tensor_core/number.hpp"

namespace octavo::emulator::tensor_core {

struct WgmmaShape {
  int n;
  Element a, b;
  Accumulator accumulator;

  int k() const { return 32 / bytes_of(a); }
  int accumulator_registers() const { return n / (accumulator == Accumulator::f16 ? 4 : 2); }
  bool operator==(const WgmmaShape&) const = default;
};

inline constexpr int kWgmmaRows = 16, kWgmmaMostColumns = 256;
// 32-bit words of A, and of eight columns of B.
inline constexpr int kWgmmaWords = 128, kWgmmaColumnWords = 64;

bool exists(const WgmmaShape& shape);

// The elements as if multiplied by -1. Floating-point types alone.
void negate(Element element, std::uint32_t* words, int count);

// d = a·b + d. A is a fragment, [4 registers][32 lanes], as are d's registers; B's columns, eight
// by eight, are two core matrices each (matrix_descriptor.hpp). `saturate` is for s32 accumulators,
// which else wrap. The host must round to nearest and flush nothing.
void wgmma(const WgmmaShape& shape, bool saturate, const std::uint32_t* a, const std::uint32_t* b,
           std::uint32_t* d);

}  // namespace octavo::emulator::tensor_core
