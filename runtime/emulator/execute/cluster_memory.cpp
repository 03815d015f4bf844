// mapa and getctarank: which block of a cluster a shared address belongs to.
#include "execute/cluster.hpp"
#include "execute/helpers.hpp"

namespace octavo::emulator {
namespace {

// The address as one of the cluster's shared window.
std::uint64_t window_address(Warp& warp, int lane, std::uint64_t address, std::uint32_t generic) {
  const auto base = generic != 0 ? reinterpret_cast<std::uint64_t>(warp.shared) : 0;
  const std::uint64_t at = address - base;
  const std::size_t blocks = warp.block->cluster->blocks.size();
  if (address < base || at / kSharedWindow >= blocks ||
      at % kSharedWindow - warp.block->launch->first_shared_address() > warp.total_shared_bytes) {
    fault(warp, CUDA_ERROR_ILLEGAL_ADDRESS, lane,
          "address 0x%llx is not in the shared memory of a block of the cluster",
          static_cast<unsigned long long>(address));
  }
  return at;
}

}  // namespace

static void octavo_mapa(Warp* warp, std::uint32_t mask, std::uint64_t* result,
                        const std::uint64_t* address, const std::uint32_t* rank,
                        std::uint32_t generic) {
  const auto base = generic != 0 ? reinterpret_cast<std::uint64_t>(warp->shared) : 0;
  for_lanes(mask, [&](int lane) {
    const std::uint64_t at = window_address(*warp, lane, address[lane], generic);
    if (rank[lane] >= warp->cluster_nctarank) {
      fault(*warp, CUDA_ERROR_ILLEGAL_INSTRUCTION, lane, "block %u of a cluster of %u", rank[lane],
            warp->cluster_nctarank);
    }
    result[lane] = base + std::uint64_t{rank[lane]} * kSharedWindow + at % kSharedWindow;
  });
}

static void octavo_getctarank(Warp* warp, std::uint32_t mask, std::uint32_t* result,
                              const std::uint64_t* address, std::uint32_t generic) {
  for_lanes(mask, [&](int lane) {
    const std::uint64_t at = window_address(*warp, lane, address[lane], generic);
    result[lane] = static_cast<std::uint32_t>(at / kSharedWindow);
  });
}

std::span<const Helper> cluster_memory_helpers() {
  static const Helper list[] = {OCTAVO_HELPER(octavo_mapa), OCTAVO_HELPER(octavo_getctarank)};
  return list;
}

}  // namespace octavo::emulator
