// Integer arithmetic that can fault or that a host vector unit lacks.
#include <limits>
#include <type_traits>

#include "execute/helpers.hpp"

namespace octavo::emulator {
namespace {

// The GPU gives all ones for a division by zero and goes on; a program that does it is wrong.
template <typename T, bool remainder>
void divide(Warp* warp, std::uint32_t mask, T* result, const T* a, const T* b) {
  for_lanes(mask, [&](int lane) {
    if (b[lane] == 0) {
      fault(*warp, CUDA_ERROR_ILLEGAL_INSTRUCTION, lane, "integer division by zero");
    }
    if constexpr (std::is_signed_v<T>) {
      // The one quotient that does not fit wraps around.
      if (b[lane] == -1) {
        using U = std::make_unsigned_t<T>;
        result[lane] = remainder ? T{0} : static_cast<T>(U{0} - static_cast<U>(a[lane]));
        return;
      }
    }
    result[lane] = remainder ? a[lane] % b[lane] : a[lane] / b[lane];
  });
}

__extension__ using Wide = unsigned __int128;
__extension__ using SignedWide = __int128;

std::uint32_t permuted_byte(std::uint64_t bytes, std::uint32_t selector) {
  const auto byte = static_cast<std::uint32_t>(bytes >> (8 * (selector & 7)) & 0xFF);
  if ((selector & 8) == 0) return byte;
  return (byte & 0x80) != 0 ? 0xFF : 0;  // the sign, replicated
}

// The selectors of prmt's named modes, by mode and c's low two bits.
constexpr std::uint32_t kPermuteModes[6][4] = {
    {0x3210, 0x4321, 0x5432, 0x6543},  // f4e
    {0x5670, 0x6701, 0x7012, 0x0123},  // b4e
    {0x0000, 0x1111, 0x2222, 0x3333},  // rc8
    {0x3210, 0x3211, 0x3222, 0x3333},  // ecl
    {0x0000, 0x1110, 0x2210, 0x3210},  // ecr
    {0x1010, 0x3232, 0x1010, 0x3232},  // rc16
};

template <typename T, typename S>
T extract(T a, std::uint32_t position, std::uint32_t length, bool is_signed) {
  constexpr std::uint32_t kBits = sizeof(T) * 8;
  position &= 0xFF;
  length &= 0xFF;
  T field = 0;
  const std::uint32_t end = position + length;
  const std::uint32_t top = end == 0 ? 0 : (end - 1 < kBits - 1 ? end - 1 : kBits - 1);
  const bool sign = is_signed && length != 0 && (a >> top & 1) != 0;
  for (std::uint32_t i = 0; i < kBits; ++i) {
    const bool bit = i < length && position + i < kBits ? (a >> (position + i) & 1) != 0 : sign;
    field |= static_cast<T>(bit) << i;
  }
  return field;
}

template <typename T>
T insert(T a, T b, std::uint32_t position, std::uint32_t length) {
  constexpr std::uint32_t kBits = sizeof(T) * 8;
  position &= 0xFF;
  length &= 0xFF;
  if (position >= kBits || length == 0) return b;
  const T ones = length >= kBits ? ~T{0} : static_cast<T>((T{1} << length) - 1);
  const T field = static_cast<T>(ones << position);
  return static_cast<T>((b & ~field) | (a << position & field));
}

}  // namespace

#define OCTAVO_DIVISION(suffix, type)                                                   \
  Helper{"octavo_div_" suffix, reinterpret_cast<void*>(&divide<type, false>)}, Helper { \
    "octavo_rem_" suffix, reinterpret_cast<void*>(&divide<type, true>)                  \
  }

static void octavo_mulhi_u64(std::uint64_t* d, const std::uint64_t* a, const std::uint64_t* b) {
  for (int i = 0; i < kLanes; ++i) d[i] = static_cast<std::uint64_t>(Wide{a[i]} * b[i] >> 64);
}

static void octavo_mulhi_s64(std::int64_t* d, const std::int64_t* a, const std::int64_t* b) {
  for (int i = 0; i < kLanes; ++i) d[i] = static_cast<std::int64_t>(SignedWide{a[i]} * b[i] >> 64);
}

static void octavo_prmt(std::uint32_t* d, const std::uint32_t* a, const std::uint32_t* b,
                        const std::uint32_t* c, std::uint32_t mode) {
  for (int i = 0; i < kLanes; ++i) {
    const std::uint64_t bytes = std::uint64_t{b[i]} << 32 | a[i];
    const std::uint32_t selector = mode == 0 ? c[i] : kPermuteModes[mode - 1][c[i] & 3];
    std::uint32_t result = 0;
    for (std::uint32_t n = 0; n < 4; ++n) {
      result |= permuted_byte(bytes, selector >> (4 * n) & 15) << (8 * n);
    }
    d[i] = result;
  }
}

// dp4a and dp2a; `high` picks dp2a's upper bytes.
static void octavo_dp4a(std::uint32_t* d, const std::uint32_t* a, const std::uint32_t* b,
                        const std::uint32_t* c, std::uint32_t a_signed, std::uint32_t b_signed) {
  const auto byte = [](std::uint32_t word, int n, std::uint32_t is_signed) {
    const std::uint32_t value = word >> (8 * n) & 0xFF;
    return is_signed != 0 ? static_cast<std::uint32_t>(static_cast<std::int8_t>(value)) : value;
  };
  for (int i = 0; i < kLanes; ++i) {
    std::uint32_t sum = c[i];
    for (int n = 0; n < 4; ++n) sum += byte(a[i], n, a_signed) * byte(b[i], n, b_signed);
    d[i] = sum;
  }
}

static void octavo_dp2a(std::uint32_t* d, const std::uint32_t* a, const std::uint32_t* b,
                        const std::uint32_t* c, std::uint32_t a_signed, std::uint32_t b_signed,
                        std::uint32_t high) {
  for (int i = 0; i < kLanes; ++i) {
    std::uint32_t sum = c[i];
    for (std::uint32_t n = 0; n < 2; ++n) {
      const std::uint32_t x = a[i] >> (16 * n) & 0xFFFF, y = b[i] >> (8 * (n + 2 * high)) & 0xFF;
      sum += (a_signed != 0 ? static_cast<std::uint32_t>(static_cast<std::int16_t>(x)) : x) *
             (b_signed != 0 ? static_cast<std::uint32_t>(static_cast<std::int8_t>(y)) : y);
    }
    d[i] = sum;
  }
}

static void octavo_bfe_32(std::uint32_t* d, const std::uint32_t* a, const std::uint32_t* b,
                          const std::uint32_t* c, std::uint32_t is_signed) {
  for (int i = 0; i < kLanes; ++i)
    d[i] = extract<std::uint32_t, std::int32_t>(a[i], b[i], c[i], is_signed != 0);
}

static void octavo_bfe_64(std::uint64_t* d, const std::uint64_t* a, const std::uint32_t* b,
                          const std::uint32_t* c, std::uint32_t is_signed) {
  for (int i = 0; i < kLanes; ++i)
    d[i] = extract<std::uint64_t, std::int64_t>(a[i], b[i], c[i], is_signed != 0);
}

static void octavo_bfi_32(std::uint32_t* d, const std::uint32_t* a, const std::uint32_t* b,
                          const std::uint32_t* c, const std::uint32_t* e) {
  for (int i = 0; i < kLanes; ++i) d[i] = insert(a[i], b[i], c[i], e[i]);
}

static void octavo_bfi_64(std::uint64_t* d, const std::uint64_t* a, const std::uint64_t* b,
                          const std::uint32_t* c, const std::uint32_t* e) {
  for (int i = 0; i < kLanes; ++i) d[i] = insert(a[i], b[i], c[i], e[i]);
}

// The n-th set bit of the mask from `base`, upwards or downwards; all ones if there is none.
static void octavo_fns(std::uint32_t* d, const std::uint32_t* mask, const std::uint32_t* base,
                       const std::int32_t* offset) {
  for (int i = 0; i < kLanes; ++i) {
    const int step = offset[i] < 0 ? -1 : 1;
    int left = offset[i] < 0 ? -offset[i] : offset[i];
    d[i] = ~0u;
    if (left == 0) {
      if ((mask[i] >> (base[i] & 31) & 1) != 0) d[i] = base[i];
      continue;
    }
    for (int bit = static_cast<int>(base[i]); bit >= 0 && bit < kLanes; bit += step) {
      if ((mask[i] >> bit & 1) != 0 && --left == 0) {
        d[i] = static_cast<std::uint32_t>(bit);
        break;
      }
    }
  }
}

std::span<const Helper> arithmetic_helpers() {
  static const Helper list[] = {OCTAVO_DIVISION("u32", std::uint32_t),
                                OCTAVO_DIVISION("s32", std::int32_t),
                                OCTAVO_DIVISION("u64", std::uint64_t),
                                OCTAVO_DIVISION("s64", std::int64_t),
                                OCTAVO_HELPER(octavo_mulhi_u64),
                                OCTAVO_HELPER(octavo_mulhi_s64),
                                OCTAVO_HELPER(octavo_prmt),
                                OCTAVO_HELPER(octavo_dp4a),
                                OCTAVO_HELPER(octavo_dp2a),
                                OCTAVO_HELPER(octavo_bfe_32),
                                OCTAVO_HELPER(octavo_bfe_64),
                                OCTAVO_HELPER(octavo_bfi_32),
                                OCTAVO_HELPER(octavo_bfi_64),
                                OCTAVO_HELPER(octavo_fns)};
  return list;
}

}  // namespace octavo::emulator
