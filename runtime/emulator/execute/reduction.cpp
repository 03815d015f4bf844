#include "execute/reduction.hpp"

#include <cstring>

#include "execute/atomic_operations.hpp"

namespace octavo::emulator {
namespace {

using namespace atomic;

template <typename Operation, typename T>
void combine(std::byte* to, const std::byte* from, std::uint32_t bytes) {
  for (std::uint32_t i = 0; i < bytes; i += sizeof(T)) {
    T value, fresh;
    std::memcpy(&value, from + i, sizeof value);
    replace<Operation>(reinterpret_cast<T*>(to + i), value, T{}, fresh);
  }
}

using U16 = std::uint16_t;
using U32 = std::uint32_t;
using U64 = std::uint64_t;

struct Row {
  Reduction reduction;
  ElementType type;
  bool into_shared;  // too
  Combine function;
};

constexpr Row kTable[] = {
    {Reduction::add, ElementType::u32, true, combine<Add, U32>},
    {Reduction::add, ElementType::s32, true, combine<Add, U32>},
    {Reduction::add, ElementType::u64, true, combine<Add, U64>},
    {Reduction::add, ElementType::f32, false, combine<AddF32Flush, U32>},
    {Reduction::add, ElementType::f32_ftz, false, combine<AddF32Flush, U32>},
    {Reduction::add, ElementType::f64, false, combine<AddF64, U64>},
    {Reduction::add, ElementType::f16, false, combine<AddF16, U16>},
    {Reduction::add, ElementType::bf16, false, combine<AddBf16, U16>},
    {Reduction::min, ElementType::u32, true, combine<Min, U32>},
    {Reduction::max, ElementType::u32, true, combine<Max, U32>},
    {Reduction::min, ElementType::s32, true, combine<SignedMin, U32>},
    {Reduction::max, ElementType::s32, true, combine<SignedMax, U32>},
    {Reduction::min, ElementType::u64, false, combine<Min, U64>},
    {Reduction::max, ElementType::u64, false, combine<Max, U64>},
    {Reduction::min, ElementType::s64, false, combine<SignedMin, U64>},
    {Reduction::max, ElementType::s64, false, combine<SignedMax, U64>},
    {Reduction::min, ElementType::f16, false, combine<ChooseHalf<kF16, false>, U16>},
    {Reduction::max, ElementType::f16, false, combine<ChooseHalf<kF16, true>, U16>},
    {Reduction::min, ElementType::bf16, false, combine<ChooseHalf<kBf16, false>, U16>},
    {Reduction::max, ElementType::bf16, false, combine<ChooseHalf<kBf16, true>, U16>},
    {Reduction::inc, ElementType::u32, true, combine<Inc, U32>},
    {Reduction::dec, ElementType::u32, true, combine<Dec, U32>},
    {Reduction::band, ElementType::u32, true, combine<And, U32>},
    {Reduction::bor, ElementType::u32, true, combine<Or, U32>},
    {Reduction::bxor, ElementType::u32, true, combine<Xor, U32>},
    {Reduction::band, ElementType::u64, false, combine<And, U64>},
    {Reduction::bor, ElementType::u64, false, combine<Or, U64>},
    {Reduction::bxor, ElementType::u64, false, combine<Xor, U64>},
};

}  // namespace

std::uint32_t bytes_of(ElementType type) {
  switch (type) {
    case ElementType::u8:
      return 1;
    case ElementType::u16:
    case ElementType::f16:
    case ElementType::bf16:
      return 2;
    case ElementType::u64:
    case ElementType::s64:
    case ElementType::f64:
      return 8;
    default:
      return 4;
  }
}

Combine find_combine(Reduction reduction, ElementType type, bool into_shared) {
  for (const Row& row : kTable) {
    if (row.reduction == reduction && row.type == type && (row.into_shared || !into_shared)) {
      return row.function;
    }
  }
  return nullptr;
}

}  // namespace octavo::emulator
