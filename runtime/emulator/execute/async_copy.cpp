// cp.async: copies that land when the program waits for them.
#include <cstring>

#include "execute/access.hpp"
#include "execute/helpers.hpp"

namespace octavo::emulator {
namespace {

void land(const PendingCopy& copy, std::uint32_t lanes) {
  for_lanes(lanes, [&](int lane) {
    std::memcpy(copy.to[lane], copy.from[lane], copy.source_bytes[lane]);
    std::memset(copy.to[lane] + copy.source_bytes[lane], 0, copy.bytes - copy.source_bytes[lane]);
  });
}

// Lands, in program order, what `due(copy, lane)` says.
template <typename Due>
void land_due(Warp& warp, std::uint32_t mask, Due&& due) {
  auto& copies = *warp.copies;
  std::size_t kept = 0;
  for (auto& copy : copies) {
    std::uint32_t lanes = 0;
    for_lanes(copy.mask & mask, [&](int lane) {
      if (due(copy, lane)) lanes |= 1u << lane;
    });
    land(copy, lanes);
    copy.mask &= ~lanes;
    if (copy.mask == 0) continue;
    if (&copies[kept] != &copy) copies[kept] = copy;
    ++kept;
  }
  copies.resize(kept);
  warp.advanced = true;
}

}  // namespace

// Both ends are checked now, where the program can be told; the data moves at the wait.
static void octavo_cp_async(Warp* warp, std::uint32_t mask, const std::uint64_t* to,
                            std::int64_t to_offset, const std::uint64_t* from,
                            std::int64_t from_offset, std::uint32_t bytes,
                            const std::uint32_t* source_bytes) {
  if (mask == 0) return;
  warp->advanced = true;
  PendingCopy& copy = warp->copies->emplace_back();
  copy.mask = mask;
  copy.bytes = bytes;
  for_lanes(mask, [&](int lane) {
    const std::uint32_t size = source_bytes == nullptr ? bytes : source_bytes[lane];
    if (size > bytes) {
      fault(*warp, CUDA_ERROR_ILLEGAL_INSTRUCTION, lane, "a source of %u bytes for a copy of %u",
            size, bytes);
    }
    copy.source_bytes[lane] = size;
    copy.group[lane] = warp->committed_groups[lane];
    copy.to[lane] =
        resolve_shared(*warp, lane, to[lane] + static_cast<std::uint64_t>(to_offset), bytes, bytes);
    const std::uint64_t source = from[lane] + static_cast<std::uint64_t>(from_offset);
    // Nothing is read where the whole copy is zeros.
    copy.from[lane] = size == 0 ? copy.to[lane] : resolve_global(*warp, lane, source, size, 1);
    if (source % bytes != 0 && size != 0) {
      fault(*warp, CUDA_ERROR_MISALIGNED_ADDRESS, lane,
            "global address 0x%llx is not a multiple of %u",
            static_cast<unsigned long long>(source), bytes);
    }
  });
}

static void octavo_cp_async_commit(Warp* warp, std::uint32_t mask) {
  for_lanes(mask, [&](int lane) { ++warp->committed_groups[lane]; });
}

// All but the last `pending` groups of each lane have landed.
static void octavo_cp_async_wait(Warp* warp, std::uint32_t mask, std::uint32_t pending) {
  land_due(*warp, mask, [&](const PendingCopy& copy, int lane) {
    return copy.group[lane] + pending < warp->committed_groups[lane];
  });
}

static void octavo_cp_async_wait_all(Warp* warp, std::uint32_t mask) {
  land_due(*warp, mask, [](const PendingCopy&, int) { return true; });
}

std::span<const Helper> async_copy_helpers() {
  static const Helper list[] = {
      OCTAVO_HELPER(octavo_cp_async), OCTAVO_HELPER(octavo_cp_async_commit),
      OCTAVO_HELPER(octavo_cp_async_wait), OCTAVO_HELPER(octavo_cp_async_wait_all)};
  return list;
}

}  // namespace octavo::emulator
