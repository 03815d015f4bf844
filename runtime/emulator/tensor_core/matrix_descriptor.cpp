#include "tensor_core/matrix_descriptor.hpp"

#include <cstring>

namespace octavo::emulator::tensor_core {
namespace {

// A field of 14 bits holds bits 17:4 of a number of bytes.
std::uint32_t bytes_at(std::uint64_t bits, int lowest) {
  return static_cast<std::uint32_t>(bits >> lowest & 0x3FFF) << 4;
}

constexpr std::uint64_t kReservedBits =
    0x3FF0'0000'0000'0000 | 0x0001'C000'0000'0000 | 0x0000'0000'C000'0000 | 0x0000'0000'0000'C000;
constexpr std::uint64_t kBaseOffsetBits = 0x000E'0000'0000'0000;

}  // namespace

const char* decode(std::uint64_t bits, MatrixDescriptor& descriptor) {
  if ((bits & kBaseOffsetBits) != 0) return "has a base offset (bits 51:49), which must be 0";
  if ((bits & kReservedBits) != 0) return "has a bit set outside its fields";
  constexpr std::uint32_t kSwizzles[] = {0, 128, 64, 32};
  descriptor = {bytes_at(bits, 0), bytes_at(bits, 16), bytes_at(bits, 32), kSwizzles[bits >> 62]};
  return nullptr;
}

std::uint32_t chunk_address(const MatrixDescriptor& descriptor, Major major, std::uint32_t line,
                            std::uint32_t chunk) {
  const auto [start, leading, stride, swizzle] = descriptor;
  if (swizzle == 0) {
    const std::uint32_t along = major == Major::k ? leading : stride;
    const std::uint32_t across = major == Major::k ? stride : leading;
    return start + line / 8 * across + line % 8 * kChunkBytes + chunk * along;
  }
  const std::uint32_t chunks = swizzle / kChunkBytes;  // in a line of the pattern
  const std::uint32_t address = start + line / 8 * stride + line % 8 * swizzle +
                                chunk / chunks * leading + chunk % chunks * kChunkBytes;
  return address ^ ((address >> 7) & (chunks - 1)) * kChunkBytes;
}

void load_core_matrices(const MatrixDescriptor& descriptor, Major major, std::uint32_t group,
                        const std::byte* shared, std::uint32_t* lower, std::uint32_t* upper) {
  std::uint32_t i = 0;
  for_chunks(descriptor, major, group, [&](std::uint32_t address) {
    std::uint32_t* core = i < 8 ? lower : upper;
    const std::byte* chunk = shared + address;
    if (major == Major::k) {
      std::memcpy(core + i % 8 * 4, chunk, kChunkBytes);
    } else {
      auto* column = reinterpret_cast<std::byte*>(core) + i % 8 * 2;
      for (std::uint32_t row = 0; row < 8; ++row)
        std::memcpy(column + row * kChunkBytes, chunk + row * 2, 2);
    }
    ++i;
  });
}

}  // namespace octavo::emulator::tensor_core
