// ld and st of every space.
#include "execute/access.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>

#include "execute/cluster.hpp"
#include "execute/helpers.hpp"

namespace octavo::emulator {
namespace {

void check_alignment(Warp& warp, int lane, std::uint64_t address, std::uint32_t alignment,
                     const char* space) {
  if (address % alignment == 0) return;
  fault(warp, CUDA_ERROR_MISALIGNED_ADDRESS, lane, "%s address 0x%llx is not a multiple of %u",
        space, static_cast<unsigned long long>(address), alignment);
}

bool inside(std::uint64_t address, std::uint64_t bytes, const void* begin, std::uint64_t size) {
  const auto first = reinterpret_cast<std::uint64_t>(begin);
  return address >= first && address - first < size && bytes <= size - (address - first);
}

// Whether a generic address points to shared memory of any of the cluster's blocks.
bool in_cluster(const Warp& warp, std::uint64_t address) {
  const std::uint64_t others = std::uint64_t{warp.cluster_nctarank - 1} * kSharedWindow;
  return inside(address, 1, warp.block->cluster->blocks[0].shared,
                others + warp.total_shared_bytes);
}

}  // namespace

void note_poll(Warp& warp) {
  warp.polled = warp.polled_memory = true;
  if (warp.shadow != nullptr) warp.shadow->clocks.acquire_all(cluster_warp(warp));
}

const Memory::Range* find_range(Warp& warp, std::uint64_t begin, std::uint64_t end) {
  const Memory& memory = *warp.block->launch->memory;
  const std::uint64_t generation = memory.generation();
  if (warp.generation != generation) {
    for (auto& range : warp.ranges) range = {};
    warp.generation = generation;
  }
  for (const auto& range : warp.ranges) {
    if (begin >= range.begin && end <= range.end) return &range;
  }
  const Memory::Range found = memory.find(begin);
  if (found.begin == found.end || end > found.end) return nullptr;
  warp.next_range = (warp.next_range + 1) % 4;
  return &(warp.ranges[warp.next_range] = found);
}

std::byte* resolve_global(Warp& warp, int lane, std::uint64_t address, std::uint32_t bytes,
                          std::uint32_t alignment) {
  if (find_range(warp, address, address + bytes) == nullptr || address + bytes < address) {
    const auto message = [&] {
      return fmt::format("{} bytes at address 0x{:x}: {}", bytes, address,
                         warp.block->launch->memory->describe(address, bytes));
    };
    fault(warp, lane, message, CUDA_ERROR_ILLEGAL_ADDRESS);
  }
  check_alignment(warp, lane, address, alignment, "global");
  return reinterpret_cast<std::byte*>(address);
}

std::byte* resolve_shared(Warp& warp, int lane, std::uint64_t address, std::uint32_t bytes,
                          std::uint32_t alignment) {
  const std::uint64_t offset = address - warp.shared_begin;
  if (offset > warp.total_shared_bytes || bytes > warp.total_shared_bytes - offset) {
    fault(warp, CUDA_ERROR_ILLEGAL_ADDRESS, lane,
          "%u bytes at shared address 0x%llx: outside the block's %u bytes of shared memory, which "
          "begin at 0x%x",
          bytes, static_cast<unsigned long long>(address), warp.total_shared_bytes,
          warp.shared_begin);
  }
  check_alignment(warp, lane, address, alignment, "shared");
  return warp.shared + address;
}

std::byte* resolve_cluster(Warp& warp, int lane, std::uint64_t address, std::uint32_t bytes,
                           std::uint32_t alignment) {
  const auto& blocks = warp.block->cluster->blocks;
  const std::uint64_t rank = address / kSharedWindow;
  const std::uint64_t offset = address % kSharedWindow - warp.block->launch->first_shared_address();
  if (rank >= blocks.size() || offset > warp.total_shared_bytes ||
      bytes > warp.total_shared_bytes - offset) {
    fault(warp, CUDA_ERROR_ILLEGAL_ADDRESS, lane,
          "%u bytes at shared::cluster address 0x%llx: outside the %u bytes of shared memory of "
          "each of the cluster's %zu blocks",
          bytes, static_cast<unsigned long long>(address), warp.total_shared_bytes, blocks.size());
  }
  const Block& block = blocks[rank];
  if (!block.started || block.live_warps == 0) {
    fault(warp, CUDA_ERROR_ILLEGAL_ADDRESS, lane,
          "shared memory of the cluster's block %u, which has %s: barrier.cluster %s", block.rank,
          block.started ? "exited" : "not started",
          block.started ? "keeps a block until all are done with it" : "waits until all have");
  }
  check_alignment(warp, lane, address, alignment, "shared::cluster");
  return warp.shared + address;
}

std::byte* resolve_local(Warp& warp, int lane, std::uint64_t address, std::uint32_t bytes,
                         std::uint32_t alignment) {
  if (address > warp.local_bytes || bytes > warp.local_bytes - address) {
    fault(warp, CUDA_ERROR_ILLEGAL_ADDRESS, lane,
          "%u bytes at local address 0x%llx: outside the thread's %u bytes of local memory", bytes,
          static_cast<unsigned long long>(address), warp.local_bytes);
  }
  check_alignment(warp, lane, address, alignment, "local");
  return warp.local + std::uint64_t{warp.local_bytes} * static_cast<std::uint32_t>(lane) + address;
}

std::byte* resolve_generic(Warp& warp, int lane, std::uint64_t address, std::uint32_t bytes,
                           std::uint32_t alignment, Access access) {
  const std::byte* own =
      warp.local + std::uint64_t{warp.local_bytes} * static_cast<std::uint32_t>(lane);
  const bool other =
      inside(address, bytes, warp.block->shared, warp.total_shared_bytes) ||
      inside(address, bytes, own, warp.local_bytes) ||
      (access == Access::read && inside(address, bytes, warp.parameters, warp.parameter_bytes));
  if (!other && in_cluster(warp, address)) {
    return resolve_cluster(warp, lane, address - reinterpret_cast<std::uint64_t>(warp.shared),
                           bytes, alignment);
  }
  if (!other) return resolve_global(warp, lane, address, bytes, alignment);
  check_alignment(warp, lane, address, alignment, "generic");
  return reinterpret_cast<std::byte*>(address);
}

std::byte* resolve_window(Warp& warp, int lane, std::uint64_t address, std::uint32_t bytes,
                          std::uint32_t alignment, SharedWindow window) {
  if (window == SharedWindow::cta) return resolve_shared(warp, lane, address, bytes, alignment);
  if (window == SharedWindow::cluster) {
    return resolve_cluster(warp, lane, address, bytes, alignment);
  }
  if (!in_cluster(warp, address)) {
    fault(warp, CUDA_ERROR_ILLEGAL_ADDRESS, lane, "generic address 0x%llx is not of shared memory",
          static_cast<unsigned long long>(address));
  }
  return resolve_cluster(warp, lane, address - reinterpret_cast<std::uint64_t>(warp.shared), bytes,
                         alignment);
}

namespace {

enum class Window : std::uint8_t { generic, global, shared, cluster, local };

// What an instruction's lanes touch. A lane's address is added to `base`.
struct Span {
  std::byte* base = nullptr;
  std::byte *begin = nullptr, *end = nullptr;  // all that lies between the outermost lanes' bytes
};

// True if every lane of the mask stays inside one allocation or the shared window and is aligned;
// the common case, in one pass.
template <Window window>
bool all_inside(Warp& warp, std::uint32_t mask, const std::uint64_t* address, std::int64_t offset,
                std::uint32_t bytes, Span& span) {
  if constexpr (window == Window::local || window == Window::cluster) return false;
  std::uint64_t lowest = ~std::uint64_t{0}, highest = 0, bits = 0;
  if (mask == kAllLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      lowest = address[lane] < lowest ? address[lane] : lowest;
      highest = address[lane] > highest ? address[lane] : highest;
      bits |= address[lane];
    }
  } else {
    for_lanes(mask, [&](int lane) {
      lowest = address[lane] < lowest ? address[lane] : lowest;
      highest = address[lane] > highest ? address[lane] : highest;
      bits |= address[lane];
    });
  }
  bits |= static_cast<std::uint64_t>(offset);
  lowest += static_cast<std::uint64_t>(offset);
  highest += static_cast<std::uint64_t>(offset);
  if ((bits & (bytes - 1)) != 0 || lowest > highest || highest + bytes < highest) return false;
  if constexpr (window == Window::shared) {
    span = {warp.shared + offset, warp.shared + lowest, warp.shared + highest + bytes};
    return lowest >= warp.shared_begin &&
           highest + bytes <= std::uint64_t{warp.shared_begin} + warp.total_shared_bytes;
  }
  span = {reinterpret_cast<std::byte*>(offset), reinterpret_cast<std::byte*>(lowest),
          reinterpret_cast<std::byte*>(highest + bytes)};
  if (find_range(warp, lowest, highest + bytes) != nullptr) return true;
  return window == Window::generic &&
         inside(lowest, highest + bytes - lowest, warp.block->shared, warp.total_shared_bytes);
}

template <Window window>
std::byte* resolve(Warp& warp, int lane, std::uint64_t address, std::uint32_t bytes,
                   Access access) {
  switch (window) {
    case Window::local:
      return resolve_local(warp, lane, address, bytes, bytes);
    case Window::global:
      return resolve_global(warp, lane, address, bytes, bytes);
    default:
      break;
  }
  std::byte* at = window == Window::shared ? resolve_shared(warp, lane, address, bytes, bytes)
                  : window == Window::cluster
                      ? resolve_cluster(warp, lane, address, bytes, bytes)
                      : resolve_generic(warp, lane, address, bytes, bytes, access);
  note_access(warp, lane, at, bytes, access);
  return at;
}

// Shared memory that asynchronous work reads or writes is not for others.
template <Window window>
void note(Warp& warp, std::uint32_t mask, const std::byte* base, const std::uint64_t* address,
          std::uint32_t bytes, Access access) {
  if constexpr (window == Window::global || window == Window::local) return;
  if (warp.shadow == nullptr) return;
  for_lanes(mask, [&](int lane) { note_access(warp, lane, base + address[lane], bytes, access); });
}

template <typename T>
void load_lane(T* out, const std::byte* from, int lane, std::uint32_t count) {
  for (std::uint32_t i = 0; i < count; ++i) {
    std::memcpy(&out[i * kLanes + static_cast<std::uint32_t>(lane)], from + i * sizeof(T),
                sizeof(T));
  }
}

template <typename T>
void store_lane(const T* in, std::byte* to, int lane, std::uint32_t count) {
  for (std::uint32_t i = 0; i < count; ++i) {
    std::memcpy(to + i * sizeof(T), &in[i * kLanes + static_cast<std::uint32_t>(lane)], sizeof(T));
  }
}

// Whether everything that the lanes touch is known at a glance to be defined.
bool all_defined(Warp& warp, const Span& span) {
  constexpr std::ptrdiff_t kGlance = 4096;
  const DefinedBytes* memory = find_defined(warp, span.begin);
  if (memory == nullptr) return true;
  return span.end - span.begin <= kGlance &&
         memory->all(span.begin, static_cast<std::uint64_t>(span.end - span.begin));
}

template <typename T>
void load_defined(Warp& warp, const std::byte* from, int lane, std::uint32_t count,
                  std::uint32_t* undefined) {
  for (std::uint32_t i = 0; i < count; ++i) {
    if (is_undefined(warp, from + i * sizeof(T), sizeof(T))) undefined[i] |= 1u << lane;
  }
}

template <typename T>
void store_defined(Warp& warp, const std::byte* to, int lane, std::uint32_t count,
                   const std::uint32_t* undefined) {
  for (std::uint32_t i = 0; i < count; ++i) {
    const bool defined = undefined == nullptr || (undefined[i] >> lane & 1) == 0;
    if (DefinedBytes* memory = find_defined(warp, to + i * sizeof(T))) {
      memory->set(to + i * sizeof(T), sizeof(T), defined);
    } else if (!defined) {
      fault_undefined(warp, 1u << lane, Use::store);
    }
  }
}

// out is [count][32]; a lane's elements are adjacent in memory. polls: the program asks for what
// others may have written since (volatile, relaxed, acquire). undefined gets the lanes of each
// element in which it is; null in the global window.
template <Window window, typename T>
void load(Warp* warp, std::uint32_t mask, const std::uint64_t* address, std::int64_t offset, T* out,
          std::uint32_t count, std::uint32_t polls, std::uint32_t* undefined) {
  if (window != Window::global) std::memset(undefined, 0, count * sizeof *undefined);
  if (mask == 0) return;
  if (polls != 0) note_poll(*warp);
  const auto bytes = static_cast<std::uint32_t>(sizeof(T) * count);
  Span span;
  if (all_inside<window>(*warp, mask, address, offset, bytes, span)) {
    note<window>(*warp, mask, span.base, address, bytes, Access::read);
    if (mask == kAllLanes && count == 1) {
      for (int lane = 0; lane < kLanes; ++lane)
        std::memcpy(&out[lane], span.base + address[lane], sizeof(T));
    } else {
      for_lanes(mask, [&](int lane) { load_lane(out, span.base + address[lane], lane, count); });
    }
    if (window == Window::global || all_defined(*warp, span)) return;
    for_lanes(mask, [&](int lane) {
      load_defined<T>(*warp, span.base + address[lane], lane, count, undefined);
    });
  } else {
    for_lanes(mask, [&](int lane) {
      const std::uint64_t at = address[lane] + static_cast<std::uint64_t>(offset);
      const std::byte* from = resolve<window>(*warp, lane, at, bytes, Access::read);
      load_lane(out, from, lane, count);
      if (window != Window::global) load_defined<T>(*warp, from, lane, count, undefined);
    });
  }
  if (window == Window::global) return;
  std::uint32_t lanes = 0;
  for (std::uint32_t i = 0; i < count; ++i) lanes |= undefined[i];
  if (lanes != 0) note_undefined(*warp, lanes);
}

// undefined: the lanes of each element in which it is, or null if it is in none.
template <Window window, typename T>
void store(Warp* warp, std::uint32_t mask, const std::uint64_t* address, std::int64_t offset,
           const T* in, std::uint32_t count, const std::uint32_t* undefined) {
  if (mask == 0) return;
  warp->advanced = true;
  const auto bytes = static_cast<std::uint32_t>(sizeof(T) * count);
  if (undefined != nullptr) {
    std::uint32_t lanes = 0;
    for (std::uint32_t i = 0; i < count; ++i) lanes |= undefined[i] & mask;
    if (lanes == 0) undefined = nullptr;
  }
  Span span;
  if (all_inside<window>(*warp, mask, address, offset, bytes, span)) {
    note<window>(*warp, mask, span.base, address, bytes, Access::write);
    for_lanes(mask, [&](int lane) { store_lane(in, span.base + address[lane], lane, count); });
    if (window == Window::global || (undefined == nullptr && all_defined(*warp, span))) return;
    for_lanes(mask, [&](int lane) {
      store_defined<T>(*warp, span.base + address[lane], lane, count, undefined);
    });
    return;
  }
  for_lanes(mask, [&](int lane) {
    const std::uint64_t at = address[lane] + static_cast<std::uint64_t>(offset);
    std::byte* to = resolve<window>(*warp, lane, at, bytes, Access::write);
    store_lane(in, to, lane, count);
    if (window != Window::global) store_defined<T>(*warp, to, lane, count, undefined);
  });
}

struct Wide {
  std::uint64_t low, high;
};

}  // namespace

// The address of a call's parameter or result is local: copies it from the caller's variable to the
// callee's, or back.
static void octavo_copy_local(Warp* warp, std::uint32_t mask, const std::uint64_t* to,
                              const std::uint64_t* from, std::uint32_t bytes) {
  for_lanes(mask, [&](int lane) {
    std::byte* target = resolve_local(*warp, lane, to[lane], bytes, 1);
    const std::byte* source = resolve_local(*warp, lane, from[lane], bytes, 1);
    std::memmove(target, source, bytes);
    for (std::uint32_t i = 0; i < bytes; ++i)
      set_defined(*warp, target + i, 1, !is_undefined(*warp, source + i, 1));
  });
}

// isspacep needs no memory, but says where a generic address points.
static void octavo_is_space(Warp* warp, std::uint32_t* result, const std::uint64_t* address,
                            std::uint32_t space) {
  for (int lane = 0; lane < kLanes; ++lane) {
    const bool cluster = in_cluster(*warp, address[lane]);
    const bool local =
        inside(address[lane], 1, warp->local, std::uint64_t{warp->local_bytes} * kLanes);
    const auto& constants = warp->block->launch->constants;
    const bool constant =
        std::any_of(constants.begin(), constants.end(),
                    [&](const Memory::Range& range) { return range.contains(address[lane], 1); });
    const bool parameter = inside(address[lane], 1, warp->parameters, warp->parameter_bytes);
    const bool shared = inside(address[lane], 1, warp->block->shared, warp->total_shared_bytes);
    const bool is[] = {
        !cluster && !local && !constant && !parameter, shared, cluster, local, constant, parameter};
    result[lane] = is[space] ? ~0u : 0;
  }
}

static void octavo_local_base(Warp* warp, std::uint64_t* result) {
  for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
    result[lane] =
        reinterpret_cast<std::uint64_t>(warp->local) + std::uint64_t{warp->local_bytes} * lane;
  }
}

#define OCTAVO_ACCESS(window, bytes, type)                                                         \
  Helper{"octavo_load_" #window "_" #bytes, reinterpret_cast<void*>(&load<Window::window, type>)}, \
      Helper {                                                                                     \
    "octavo_store_" #window "_" #bytes, reinterpret_cast<void*>(&store<Window::window, type>)      \
  }
#define OCTAVO_ACCESSES(window)                                                         \
  OCTAVO_ACCESS(window, 1, std::uint8_t), OCTAVO_ACCESS(window, 2, std::uint16_t),      \
      OCTAVO_ACCESS(window, 4, std::uint32_t), OCTAVO_ACCESS(window, 8, std::uint64_t), \
      OCTAVO_ACCESS(window, 16, Wide)

std::span<const Helper> access_helpers() {
  static const Helper list[] = {OCTAVO_ACCESSES(generic),       OCTAVO_ACCESSES(global),
                                OCTAVO_ACCESSES(shared),        OCTAVO_ACCESSES(cluster),
                                OCTAVO_ACCESSES(local),         OCTAVO_HELPER(octavo_copy_local),
                                OCTAVO_HELPER(octavo_is_space), OCTAVO_HELPER(octavo_local_base)};
  return list;
}

}  // namespace octavo::emulator
