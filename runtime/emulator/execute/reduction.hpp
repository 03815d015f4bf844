// What cp.reduce.async.bulk does with an element and the one that it replaces.
#pragma once

#include <cstddef>
#include <cstdint>

namespace octavo::emulator {

// none is a plain copy.
enum class Reduction : std::uint32_t { none, add, min, max, inc, dec, band, bor, bxor };

// In the order of CUtensorMapDataType.
enum class ElementType : std::uint32_t {
  u8,
  u16,
  u32,
  s32,
  u64,
  s64,
  f16,
  f32,
  f64,
  bf16,
  f32_ftz,
  tf32,
  tf32_ftz
};
std::uint32_t bytes_of(ElementType type);

// Reduces `bytes` bytes of elements into `to`, each element atomically. nullptr if there is no such
// reduction; into shared memory there are fewer.
using Combine = void (*)(std::byte* to, const std::byte* from, std::uint32_t bytes);
Combine find_combine(Reduction reduction, ElementType type, bool into_shared);

}  // namespace octavo::emulator
