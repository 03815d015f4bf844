// What orders a thread's own accesses before asynchronous ones.
#include "execute/cluster.hpp"
#include "execute/helpers.hpp"

namespace octavo::emulator {

static void octavo_fence_proxy_async(Warp* warp, std::uint32_t mask) {
  if (mask != 0) warp->shadow->clocks.fence(cluster_warp(*warp), mask, warp->live);
}

static void octavo_fence_threads(Warp* warp) {
  warp->shadow->clocks.fence_threads(cluster_warp(*warp));
}

static void octavo_warp_sync(Warp* warp) {
  if (warp->mask == warp->live) warp->shadow->clocks.converge(cluster_warp(*warp));
}

std::span<const Helper> fence_helpers() {
  static const Helper list[] = {OCTAVO_HELPER(octavo_fence_proxy_async),
                                OCTAVO_HELPER(octavo_fence_threads),
                                OCTAVO_HELPER(octavo_warp_sync)};
  return list;
}

}  // namespace octavo::emulator
