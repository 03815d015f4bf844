// atom and red: real atomics of the host, lane by lane.
#include <cstring>

#include "execute/access.hpp"
#include "execute/atomic_operations.hpp"
#include "execute/helpers.hpp"

namespace octavo::emulator {
namespace {

using namespace atomic;

enum class Window : std::uint8_t { generic, global, shared, cluster };

template <Window window>
std::byte* resolve(Warp& warp, int lane, std::uint64_t at, std::uint32_t bytes) {
  switch (window) {
    case Window::shared:
      return resolve_shared(warp, lane, at, bytes, bytes);
    case Window::cluster:
      return resolve_cluster(warp, lane, at, bytes, bytes);
    case Window::global:
      return resolve_global(warp, lane, at, bytes, bytes);
    case Window::generic:
      break;
  }
  return resolve_generic(warp, lane, at, bytes, bytes, Access::update);
}

// result, b and c are [count][32]; result may be null (red); c is cas's new value. A lane's
// elements are adjacent in memory and each is atomic by itself. undefined gets the lanes of each
// element that held nothing, in shared memory, where it stays undefined but after an exchange.
template <Window window, typename T, typename Operation>
void update(Warp* warp, std::uint32_t mask, const std::uint64_t* address, std::int64_t offset,
            T* result, const T* b, const T* c, std::uint32_t count, std::uint32_t* undefined) {
  std::memset(undefined, 0, count * sizeof *undefined);
  if (mask != 0) note_poll(*warp);
  const auto bytes = static_cast<std::uint32_t>(sizeof(T) * count);
  for_lanes(mask, [&](int lane) {
    const std::uint64_t at = address[lane] + static_cast<std::uint64_t>(offset);
    std::byte* where = resolve<window>(*warp, lane, at, bytes);
    if constexpr (window != Window::global) note_access(*warp, lane, where, bytes, Access::update);
    for (std::uint32_t i = 0; i < count; ++i) {
      T* element = reinterpret_cast<T*>(where) + i;
      const std::uint32_t slot = i * kLanes + static_cast<std::uint32_t>(lane);
      T fresh;
      const T old = replace<Operation>(element, b[slot], c == nullptr ? T{} : c[slot], fresh);
      if (fresh != old) warp->advanced = true;
      if (result != nullptr) result[slot] = old;
      if (window == Window::global) continue;
      const auto* at_element = reinterpret_cast<const std::byte*>(element);
      if (!is_undefined(*warp, at_element, sizeof(T))) continue;
      undefined[i] |= 1u << lane;
      note_undefined(*warp, 1u << lane);
      if (std::is_same_v<Operation, Exch>) set_defined(*warp, at_element, sizeof(T));
    }
  });
}

}  // namespace

#define OCTAVO_ATOMIC(name, type, operation)                                     \
  Helper{"octavo_atom_generic_" name,                                            \
         reinterpret_cast<void*>(&update<Window::generic, type, operation>)},    \
      Helper{"octavo_atom_global_" name,                                         \
             reinterpret_cast<void*>(&update<Window::global, type, operation>)}, \
      Helper{"octavo_atom_shared_" name,                                         \
             reinterpret_cast<void*>(&update<Window::shared, type, operation>)}, \
      Helper {                                                                   \
    "octavo_atom_cluster_" name,                                                 \
        reinterpret_cast<void*>(&update<Window::cluster, type, operation>)       \
  }
#define OCTAVO_INTEGER_ATOMICS(bits, type)                                                  \
  OCTAVO_ATOMIC("add_" bits, type, Add), OCTAVO_ATOMIC("umin_" bits, type, Min),            \
      OCTAVO_ATOMIC("umax_" bits, type, Max), OCTAVO_ATOMIC("smin_" bits, type, SignedMin), \
      OCTAVO_ATOMIC("smax_" bits, type, SignedMax), OCTAVO_ATOMIC("and_" bits, type, And),  \
      OCTAVO_ATOMIC("or_" bits, type, Or), OCTAVO_ATOMIC("xor_" bits, type, Xor),           \
      OCTAVO_ATOMIC("exch_" bits, type, Exch), OCTAVO_ATOMIC("cas_" bits, type, Cas),       \
      OCTAVO_ATOMIC("inc_" bits, type, Inc), OCTAVO_ATOMIC("dec_" bits, type, Dec)

std::span<const Helper> atomic_helpers() {
  static const Helper list[] = {
      OCTAVO_INTEGER_ATOMICS("32", std::uint32_t),
      OCTAVO_INTEGER_ATOMICS("64", std::uint64_t),
      OCTAVO_ATOMIC("cas_128", Wide, Cas),
      OCTAVO_ATOMIC("exch_128", Wide, Exch),
      OCTAVO_ATOMIC("cas_16", std::uint16_t, Cas),
      OCTAVO_ATOMIC("exch_16", std::uint16_t, Exch),
      Helper{"octavo_atom_generic_add_f32",
             reinterpret_cast<void*>(&update<Window::generic, std::uint32_t, AddF32Flush>)},
      Helper{"octavo_atom_global_add_f32",
             reinterpret_cast<void*>(&update<Window::global, std::uint32_t, AddF32Flush>)},
      Helper{"octavo_atom_shared_add_f32",
             reinterpret_cast<void*>(&update<Window::shared, std::uint32_t, AddF32>)},
      Helper{"octavo_atom_cluster_add_f32",
             reinterpret_cast<void*>(&update<Window::cluster, std::uint32_t, AddF32>)},
      OCTAVO_ATOMIC("add_f64", std::uint64_t, AddF64),
      OCTAVO_ATOMIC("add_f16", std::uint16_t, AddF16),
      OCTAVO_ATOMIC("add_bf16", std::uint16_t, AddBf16),
      OCTAVO_ATOMIC("add_f16x2", std::uint32_t, AddF16x2),
      OCTAVO_ATOMIC("add_bf16x2", std::uint32_t, AddBf16x2)};
  return list;
}

}  // namespace octavo::emulator
