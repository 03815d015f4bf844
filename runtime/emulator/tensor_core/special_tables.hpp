// The tables of an H100's special function unit, and what it computes of them.
//
// A mantissa's upper bits choose a segment; the others are x, 17 bits, the last ones zero where
// there are fewer. The result is
//
//   (c0 << c0_shift) + c1 * x + (c2 << c2_shift) * truncated_square(x) + bias
//
// times 2^-scale, truncated to 24 significant bits. truncated_square is x^2 / 2^19 without those
// products of two of x's bits that are under 2^19. (The shape is that of Oberman and Siu, "A
// High-Performance Area-Efficient Multifunction Interpolator", 2005.) The numbers are fitted to
// recordings of every fp32 of 50 binades and reproduce all of them: `octavo_fit_special` prints
// special_tables.cpp from the recordings.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace octavo::emulator::tensor_core {

struct Segment {
  std::int32_t c0, c1, c2;
};

struct Interpolation {
  int segment_bits;  // of the mantissa's 23
  int c0_shift, c2_shift;
  int bias;
  int scale;
};

// 2^x for x in [0, 1), 1 / x and log2(x) for x in [1, 2).
inline constexpr Interpolation kEx2{6, 13, 0, 6114, 38};
inline constexpr Interpolation kRcp{7, 14, 1, 4046, 40};
inline constexpr Interpolation kLg2{6, 12, 1, 837, 38};
// For x in [1, 4): first the segments of [1, 2), then those of [2, 4).
inline constexpr Interpolation kRsqrt{6, 14, 2, -1, 40};
inline constexpr Interpolation kSqrt{6, 15, 1, -1, 40};

// sin(pi / 2 x) for x in [0, 1).
inline constexpr Interpolation kSin{6, 12, 0, 0, 37};
// tanh(x) for x in [2^-8, 8); special_unit.hpp says which segments.
inline constexpr Interpolation kTanh{0, 15, 0, 0, 39};

extern const Segment kEx2Segments[64], kRcpSegments[128], kLg2Segments[64], kRsqrtSegments[128],
    kSqrtSegments[128], kSinSegments[64], kTanhSegments[51];

}  // namespace octavo::emulator::tensor_core
