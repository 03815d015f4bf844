// The descriptors by which wgmma names its operands in shared memory, and how these lie there: the
// PTX ISA's "Shared Memory Matrix Layout", which CUTLASS's make_gmma_desc spells out.
//
// An operand is read 16 bytes at a time. K-major: of row r of M or N, the lower and the upper half
// of its 32 bytes of k. MN-major (16-bit types alone): of each k, eight elements along M or N.
#pragma once

#include <cstddef>
#include <cstdint>

namespace octavo::emulator::tensor_core {

struct MatrixDescriptor {
  std::uint32_t start = 0, leading_offset = 0, stride_offset = 0;  // bytes
  std::uint32_t swizzle = 0;  // bytes after which the pattern repeats: 32, 64, 128; 0 for none
};

// Fills in the descriptor. nullptr, or what is wrong with the bits.
const char* decode(std::uint64_t bits, MatrixDescriptor& descriptor);

enum class Major : std::uint8_t { k, mn };

inline constexpr std::uint32_t kChunkBytes = 16;

// The shared address of a chunk: of line r (k-major: a row; mn-major: a k), the c-th along it.
std::uint32_t chunk_address(const MatrixDescriptor& descriptor, Major major, std::uint32_t line,
                            std::uint32_t chunk);

// Rows 8 * group to 8 * group + 7 of M or N: visits the addresses of their chunks, k ascending for
// k-major's halves and mn-major's lines.
template <typename Visit>
void for_chunks(const MatrixDescriptor& descriptor, Major major, std::uint32_t group,
                Visit&& visit) {
  for (std::uint32_t i = 0; i < 16; ++i) {
    visit(major == Major::k ? chunk_address(descriptor, major, 8 * group + i % 8, i / 8)
                            : chunk_address(descriptor, major, i, group));
  }
}

// Those rows as two core matrices, each of eight rows of 16 bytes: the lower half of k and the
// upper one. This is how registers of mma fragments lie over the lanes of a warp.
void load_core_matrices(const MatrixDescriptor& descriptor, Major major, std::uint32_t group,
                        const std::byte* shared, std::uint32_t* lower, std::uint32_t* upper);

}  // namespace octavo::emulator::tensor_core
