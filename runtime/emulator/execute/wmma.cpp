// wmma.load and wmma.store: every lane moves the elements that its registers hold.
#include "execute/wmma.hpp"

#include <cstring>

#include "execute/access.hpp"
#include "execute/helpers.hpp"
#include "execute/undefined.hpp"

namespace octavo::emulator {
namespace {

struct Position {
  std::uint32_t row, column;
};

// Of element `e` of `per` in a part's register i; as mma.m16n8 has it.
Position position_of(WmmaPart part, std::uint32_t lane, std::uint32_t i, std::uint32_t e,
                     std::uint32_t per) {
  const std::uint32_t g = lane / 4, t = lane % 4;
  switch (part) {
    case WmmaPart::tall:
      return {g + i % 2 * 8, t * per + e + i / 2 * 4 * per};
    case WmmaPart::wide:
      return {t * per + e + i * 4 * per, g};
    case WmmaPart::beside:
    case WmmaPart::stacked:
      break;
  }
  return per == 2 ? Position{g + i * 8, t * 2 + e} : Position{g + i / 2 * 8, t * 2 + i % 2};
}

// Calls body(register, shift of the element in it, host address).
template <typename F>
void for_elements(Warp& warp, const std::uint64_t* address, std::int64_t offset,
                  const std::uint32_t* stride, std::uint32_t part, std::uint32_t bytes,
                  std::uint32_t registers, std::uint32_t parts, std::uint32_t all,
                  std::uint32_t column_major, std::uint32_t shared, Access access, F&& body) {
  const auto kind = static_cast<WmmaPart>(part);
  const std::uint32_t per = 4 / bytes;
  for_lanes(warp.mask, [&](int lane) {
    for (std::uint32_t r = 0; r < all; ++r) {
      const std::uint32_t block = r / registers % parts;
      for (std::uint32_t e = 0; e < per; ++e) {
        auto [row, column] =
            position_of(kind, static_cast<std::uint32_t>(lane), r % registers, e, per);
        const bool below = kind == WmmaPart::tall || kind == WmmaPart::stacked;
        (below ? row : column) += block * (below ? 16 : 8);
        const std::uint64_t major = column_major != 0 ? column : row;
        const std::uint64_t minor = column_major != 0 ? row : column;
        const std::uint64_t at = address[lane] + static_cast<std::uint64_t>(offset) +
                                 (major * stride[lane] + minor) * bytes;
        std::byte* where = shared != 0 ? resolve_shared(warp, lane, at, bytes, bytes)
                                       : resolve_generic(warp, lane, at, bytes, bytes, access);
        note_access(warp, lane, where, bytes, access);
        body(r * kLanes + static_cast<std::uint32_t>(lane), e * bytes * 8, where);
      }
    }
  });
}

}  // namespace

static void octavo_wmma_load(Warp* warp, std::uint32_t* result, const std::uint64_t* address,
                             std::int64_t offset, const std::uint32_t* stride, std::uint32_t part,
                             std::uint32_t bytes, std::uint32_t registers, std::uint32_t parts,
                             std::uint32_t all, std::uint32_t column_major, std::uint32_t shared) {
  std::memset(result, 0, sizeof(std::uint32_t) * all * kLanes);
  for_elements(*warp, address, offset, stride, part, bytes, registers, parts, all, column_major,
               shared, Access::read,
               [&](std::uint32_t slot, std::uint32_t shift, const std::byte* from) {
                 std::uint32_t value = 0;
                 std::memcpy(&value, from, bytes);
                 result[slot] |= value << shift;
               });
}

static void octavo_wmma_store(Warp* warp, const std::uint32_t* values, const std::uint64_t* address,
                              std::int64_t offset, const std::uint32_t* stride, std::uint32_t part,
                              std::uint32_t bytes, std::uint32_t registers, std::uint32_t parts,
                              std::uint32_t all, std::uint32_t column_major, std::uint32_t shared) {
  warp->advanced = true;
  for_elements(*warp, address, offset, stride, part, bytes, registers, parts, all, column_major,
               shared, Access::write, [&](std::uint32_t slot, std::uint32_t shift, std::byte* to) {
                 const std::uint32_t value = values[slot] >> shift;
                 std::memcpy(to, &value, bytes);
                 set_defined(*warp, to, bytes);
               });
}

std::span<const Helper> wmma_helpers() {
  static const Helper list[] = {OCTAVO_HELPER(octavo_wmma_load), OCTAVO_HELPER(octavo_wmma_store)};
  return list;
}

}  // namespace octavo::emulator
