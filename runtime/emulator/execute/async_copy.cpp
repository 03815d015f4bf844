// cp.async: copies of a few bytes a lane, as the issuing threads themselves would write them.
#include <cstring>

#include "execute/access.hpp"
#include "execute/async.hpp"
#include "execute/cluster.hpp"
#include "execute/helpers.hpp"
#include "execute/mbarrier.hpp"
#include "execute/shadow.hpp"

namespace octavo::emulator {
namespace {

struct Pieces {
  std::byte* to[kLanes];
  const std::byte* from[kLanes];
  std::uint32_t source_bytes[kLanes];  // the rest is zeros
};

// One instruction's, for lanes that have committed as many groups.
class AsyncCopy final : public Operation {
 public:
  AsyncCopy(const Warp& issuing, std::uint32_t mask, std::uint32_t bytes, const Pieces& pieces)
      : Operation(issuing, mask, Group::cp_async), pieces_(pieces) {
    async_proxy = false;
    has_read = true;  // it reads nothing of shared memory
    writes.reserve(kLanes);
    for_lanes(mask, [&](int lane) { writes.push_back({pieces.to[lane], bytes, 1u << lane}); });
  }

  void perform(std::uint32_t lanes_now) override {
    for (const SharedRange& to : writes) {
      if ((to.lanes & lanes_now) == 0) continue;
      const int lane = __builtin_ctz(to.lanes);
      const std::uint32_t size = pieces_.source_bytes[lane];
      std::memcpy(to.begin, pieces_.from[lane], size);
      std::memset(to.begin + size, 0, to.bytes - size);
    }
  }

 private:
  Pieces pieces_;
};

// cp.async.mbarrier.arrive: arrives when the lane's earlier copies have landed.
class AsyncArrival final : public Operation {
 public:
  AsyncArrival(const Warp& issuing, int lane, std::byte* at)
      : Operation(issuing, 1u << lane, Group::cp_async) {
    async_proxy = false;
    has_read = true;
    in_order = true;
    mbarrier = at;
  }

  void perform(std::uint32_t) override {
    Cluster& cluster = *block.cluster;
    if (Mbarrier* known = cluster.shadow->find_mbarrier(mbarrier))
      cluster.shadow->clocks.release(warp, known->arrived);
    const std::string problem = arrive(cluster, mbarrier, 1, false);
    if (!problem.empty()) report(cluster, CUDA_ERROR_LAUNCH_FAILED, site, problem);
  }
};

}  // namespace

// Both ends are checked now, where the program can be told; the data moves later.
static void octavo_cp_async(Warp* warp, std::uint32_t mask, const std::uint64_t* to,
                            std::int64_t to_offset, const std::uint64_t* from,
                            std::int64_t from_offset, std::uint32_t bytes,
                            const std::uint32_t* source_bytes) {
  Pieces pieces;
  for_lanes(mask, [&](int lane) {
    const std::uint32_t size = source_bytes == nullptr ? bytes : source_bytes[lane];
    if (size > bytes) {
      fault(*warp, CUDA_ERROR_ILLEGAL_INSTRUCTION, lane, "a source of %u bytes for a copy of %u",
            size, bytes);
    }
    pieces.source_bytes[lane] = size;
    pieces.to[lane] =
        resolve_shared(*warp, lane, to[lane] + static_cast<std::uint64_t>(to_offset), bytes, bytes);
    const std::uint64_t source = from[lane] + static_cast<std::uint64_t>(from_offset);
    // Nothing is read where the whole copy is zeros.
    pieces.from[lane] = size == 0 ? pieces.to[lane] : resolve_global(*warp, lane, source, size, 1);
    if (source % bytes != 0 && size != 0) {
      fault(*warp, CUDA_ERROR_MISALIGNED_ADDRESS, lane,
            "global address 0x%llx is not a multiple of %u",
            static_cast<unsigned long long>(source), bytes);
    }
  });
  const auto& committed = warp->committed_groups[static_cast<int>(Group::cp_async)];
  while (mask != 0) {
    std::uint32_t together = 0;
    for_lanes(mask, [&](int lane) {
      if (committed[lane] == committed[__builtin_ctz(mask)]) together |= 1u << lane;
    });
    mask &= ~together;
    issue(*warp, std::make_unique<AsyncCopy>(*warp, together, bytes, pieces));
  }
}

static void octavo_cp_async_commit(Warp* warp, std::uint32_t mask) {
  commit_group(*warp, mask, Group::cp_async);
}

static void octavo_cp_async_wait(Warp* warp, std::uint32_t mask, std::uint32_t pending) {
  wait_group(*warp, mask, Group::cp_async, pending);
}

// Of what is not committed too.
static void octavo_cp_async_wait_all(Warp* warp, std::uint32_t mask) {
  commit_group(*warp, mask, Group::cp_async);
  wait_group(*warp, mask, Group::cp_async, 0);
}

static void octavo_cp_async_arrive(Warp* warp, std::uint32_t mask, std::uint32_t window,
                                   const std::uint64_t* address, std::uint64_t offset,
                                   std::uint32_t increment) {
  for_lanes(mask, [&](int lane) {
    std::byte* mbarrier =
        resolve_window(*warp, lane, address[lane] + offset, 8, 8, SharedWindow{window});
    if (increment != 0) {
      std::string problem = expect_arrival(*warp->block->cluster, mbarrier);
      if (!problem.empty()) fault(*warp, lane, [&] { return std::move(problem); });
    }
    issue(*warp, std::make_unique<AsyncArrival>(*warp, lane, mbarrier));
  });
}

std::span<const Helper> async_copy_helpers() {
  static const Helper list[] = {
      OCTAVO_HELPER(octavo_cp_async), OCTAVO_HELPER(octavo_cp_async_commit),
      OCTAVO_HELPER(octavo_cp_async_wait), OCTAVO_HELPER(octavo_cp_async_wait_all),
      OCTAVO_HELPER(octavo_cp_async_arrive)};
  return list;
}

}  // namespace octavo::emulator
