// Matrices in shared memory as wgmma reads them, element by element.
#pragma once

#include <doctest/doctest.h>

#include <cstddef>
#include <cstring>
#include <set>
#include <vector>

#include "draw.hpp"
#include "tensor_core/matrix_descriptor.hpp"

namespace octavo::emulator::tensor_core {

// [row or column][k]
using Matrix = std::vector<std::vector<std::uint32_t>>;

inline Matrix random_matrix(Element element, int rows, Inputs inputs, Random& random) {
  Matrix matrix(static_cast<std::size_t>(rows));
  for (auto& row : matrix)
    for (int i = 0; i < 32 / bytes_of(element); ++i) {
      const bool integer = element == Element::s8 || element == Element::u8;
      row.push_back(integer ? any_bits(random) & 0xFF : draw(format_of(element), inputs, random));
    }
  return matrix;
}

// A layout of a matrix in shared memory, by its offsets in bytes.
struct Layout {
  std::uint32_t swizzle;
  Major major;
  std::uint32_t start, leading, stride;

  std::uint64_t descriptor() const {
    const std::uint64_t code = swizzle == 128 ? 1 : swizzle == 64 ? 2 : swizzle == 32 ? 3 : 0;
    return start >> 4 | std::uint64_t{leading >> 4} << 16 | std::uint64_t{stride >> 4} << 32 |
           code << 62;
  }

  // K-major: Swizzle o ((8,m),(T,2)):((1T,SBO),(1,LBO)), rows of the swizzle's bytes if there is
  // one. MN-major: ((T,1,m),(8,k)):((1,T,SBO),(1T,LBO)) or ((T,w,m),(8,k)):((1,T,LBO),(wT,SBO)).
  std::uint32_t address(std::uint32_t row, std::uint32_t k, std::uint32_t bytes) const {
    const std::uint32_t t = 16 / bytes;
    std::uint32_t at = start;
    if (major == Major::k) {
      at += row / 8 * stride + k % t * bytes;
      at += swizzle == 0 ? row % 8 * 16 + k / t * leading : row % 8 * swizzle + k / t * 16;
    } else if (swizzle == 0) {
      at += row % t * bytes + row / t * stride + k % 8 * 16 + k / 8 * leading;
    } else {
      const std::uint32_t w = swizzle / 16;
      at += row % t * bytes + row / t % w * 16 + row / t / w * leading + k % 8 * swizzle +
            k / 8 * stride;
    }
    const std::uint32_t bits = swizzle == 128 ? 7 : swizzle == 64 ? 3 : swizzle == 32 ? 1 : 0;
    return at ^ (at >> 7 & bits) << 4;
  }
};

// Blocks of 128 bytes, or of eight lines of the swizzle, one after the other along M or N first or
// along k first, with or without gaps.
inline Layout random_layout(Major major, std::uint32_t swizzle, int rows, Random& random) {
  const bool gaps = random() % 2;
  const auto gap = [&] { return gaps ? 16 * static_cast<std::uint32_t>(random() % 4) : 0; };
  const std::uint32_t inner = (swizzle == 0 ? 128 : 8 * swizzle) + gap();
  Layout layout{swizzle, major, 1024 * static_cast<std::uint32_t>(random() % 3), inner, inner};
  if (major == Major::k && swizzle != 0) {
    layout.start += 32 * static_cast<std::uint32_t>(random() % (swizzle / 32));  // a step of k
    return layout;
  }
  const bool leading_is_k = swizzle == 0;
  const auto groups = static_cast<std::uint32_t>(rows) / 8;
  if (random() % 2) {
    layout.leading = inner * (leading_is_k ? groups : 2) + gap();
  } else {
    layout.stride = inner * (leading_is_k ? 2 : groups) + gap();
  }
  return layout;
}

inline constexpr std::size_t kSharedBytes = 200 << 10;

inline void place(const Matrix& matrix, const Layout& layout, int bytes,
                  std::vector<std::byte>& shared) {
  std::set<std::uint32_t> taken;
  for (std::uint32_t row = 0; row < matrix.size(); ++row)
    for (std::uint32_t k = 0; k < matrix[row].size(); ++k) {
      const std::uint32_t at = layout.address(row, k, static_cast<std::uint32_t>(bytes));
      REQUIRE(at + 4 < kSharedBytes);
      REQUIRE(taken.insert(at).second);
      std::memcpy(&shared[at], &matrix[row][k], static_cast<std::size_t>(bytes));
    }
}

}  // namespace octavo::emulator::tensor_core
