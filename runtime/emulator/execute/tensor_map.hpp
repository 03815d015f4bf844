// What the 128 bytes of a CUtensorMap hold here; cuTensorMapEncodeTiled writes them, tensor copies
// read them. Their layout is the driver's own affair on a GPU too.
#pragma once

#include <cstddef>
#include <cstdint>

#include "execute/reduction.hpp"

namespace octavo::emulator {

enum class Interleave : std::uint32_t { none, b16, b32 };
enum class Swizzle : std::uint32_t { none, b32, b64, b128, b128_b32, b128_b32_flip_8, b128_b64 };
enum class Fill : std::uint32_t { zeros, nan };

constexpr int kMostDimensions = 5;

struct TensorMap {
  std::uint64_t seal = 0;  // over all that follows: what a program made up has none
  std::uint64_t address = 0;
  std::uint64_t stride[kMostDimensions] = {};  // bytes; the innermost one's is a unit
  std::uint32_t last[kMostDimensions] = {};    // the highest coordinate
  std::uint16_t box[kMostDimensions] = {};     // elements
  std::uint8_t step[kMostDimensions] = {};     // of the box: every step-th element is taken
  std::uint8_t rank = 0;
  ElementType type = ElementType::u8;
  Interleave interleave = Interleave::none;
  Swizzle swizzle = Swizzle::none;
  Fill fill = Fill::zeros;

  std::uint32_t count(int dimension) const {  // elements that a box takes
    return (box[dimension] + step[dimension] - 1u) / step[dimension];
  }
  // The innermost dimension counts elements, or of an interleaved tensor slices of 16 or 32 bytes:
  // such a tensor has the dimensions W, H, ..., C/slice, N, and its boxes are one slice deep.
  std::uint32_t unit() const { return static_cast<std::uint32_t>(stride[0]); }
  std::uint32_t row_bytes() const { return count(0) * unit(); }
  // From one row of a box in shared memory to the next: swizzled rows begin a span each.
  std::uint32_t pitch() const;
  std::uint64_t rows() const;
  std::uint64_t bytes() const { return rows() * row_bytes(); }
  std::uint64_t right_seal() const;
};

constexpr std::size_t kTensorMapBytes = 128;
static_assert(sizeof(TensorMap) <= kTensorMapBytes);

// What a swizzled row may fill.
constexpr std::uint32_t swizzle_span(Swizzle mode) {
  return mode == Swizzle::none ? 0 : mode == Swizzle::b32 ? 32 : mode == Swizzle::b64 ? 64 : 128;
}

// Where the byte that would lie at this shared address lies.
constexpr std::uint32_t swizzle(Swizzle mode, std::uint32_t address) {
  const std::uint32_t line = address >> 7;
  switch (mode) {
    case Swizzle::none:
      break;
    case Swizzle::b32:
      return address ^ (line & 1) << 4;
    case Swizzle::b64:
      return address ^ (line & 3) << 4;
    case Swizzle::b128:
      return address ^ (line & 7) << 4;
    case Swizzle::b128_b32:
      return address ^ (line & 3) << 5;
    case Swizzle::b128_b32_flip_8:
      return address ^ (line & 3) << 5 ^ (line & 1) << 3;
    case Swizzle::b128_b64:
      return address ^ (line & 1) << 6;
  }
  return address;
}

}  // namespace octavo::emulator
