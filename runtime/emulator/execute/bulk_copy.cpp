// cp.async.bulk, cp.reduce.async.bulk, st.async and red.async.
#include "execute/bulk_copy.hpp"

#include <fmt/core.h>

#include <array>
#include <cstring>
#include <utility>

#include "execute/cluster.hpp"
#include "execute/helpers.hpp"
#include "execute/mbarrier.hpp"

namespace octavo::emulator {

BulkOperation::BulkOperation(const Warp& issuing, int lane, std::uint32_t size,
                             std::byte* signalled)
    : Operation(issuing, 1u << lane, signalled == nullptr ? Group::bulk : Group::none),
      data_(size) {
  mbarrier = signalled;
}

void BulkOperation::read() { gather(data_.data()); }

void BulkOperation::perform(std::uint32_t) {
  scatter(data_.data());
  if (mbarrier == nullptr) return;
  Cluster& cluster = *block.cluster;
  const std::string problem =
      complete_tx(cluster, mbarrier, static_cast<std::uint32_t>(data_.size()));
  if (!problem.empty()) report(cluster, CUDA_ERROR_LAUNCH_FAILED, site, problem);
}

std::byte* resolve_signal(Warp& warp, int lane, std::uint64_t address, SharedWindow window,
                          const std::byte* destination) {
  std::byte* mbarrier = resolve_window(warp, lane, address, 8, 8, window);
  const Cluster& cluster = *warp.block->cluster;
  if (rank_of(cluster, mbarrier) != rank_of(cluster, destination)) {
    fault(warp, lane, [&] {
      return fmt::format("the mbarrier at {} is of another block than the destination",
                         warp.shadow->name(mbarrier));
    });
  }
  return mbarrier;
}

void require_mbarrier(Warp& warp, int lane, const std::byte* mbarrier) {
  if (warp.shadow->find_mbarrier(mbarrier) != nullptr) return;
  fault(warp, lane, [&] {
    return fmt::format("no mbarrier is initialised at {}", warp.shadow->name(mbarrier));
  });
}

std::byte* in_block(Warp& warp, int lane, std::byte* at, std::uint32_t rank) {
  Cluster& cluster = *warp.block->cluster;
  if (rank >= cluster.blocks.size()) {
    fault(warp, lane,
          [&] { return fmt::format("block {} of a cluster of {}", rank, cluster.blocks.size()); });
  }
  const auto offset =
      static_cast<std::uint64_t>(at - cluster.blocks[rank_of(cluster, at)].window());
  return resolve_cluster(warp, lane, rank * kSharedWindow + offset, 0, 1);
}

namespace {

class BulkCopy : public BulkOperation {
 public:
  BulkCopy(const Warp& issuing, int lane, std::byte* to, const std::byte* from, std::uint32_t size,
           Combine combine, std::byte* signalled)
      : BulkOperation(issuing, lane, size, signalled),
        to_(to),
        from_(from),
        size_(size),
        combine_(combine) {
    reduces = combine != nullptr;
  }

 private:
  void gather(std::byte* data) override { std::memcpy(data, from_, size_); }
  void scatter(const std::byte* data) override {
    if (combine_ == nullptr) {
      std::memcpy(to_, data, size_);
    } else {
      combine_(to_, data, size_);
    }
  }

  std::byte* to_;
  const std::byte* from_;
  std::uint32_t size_;
  Combine combine_;
};

// st.async and red.async: of what a lane's registers held.
class AsyncStore final : public BulkCopy {
 public:
  AsyncStore(const Warp& issuing, int lane, std::byte* to, const std::array<std::byte, 16>& values,
             std::uint32_t size, Combine combine, std::byte* signalled)
      : BulkCopy(issuing, lane, to, values_.data(), size, combine, signalled), values_(values) {
    async_proxy = false;
    writes = {{to, size}};
  }

 private:
  std::array<std::byte, 16> values_;
};

void check_size(Warp& warp, int lane, std::uint32_t size) {
  if (size % 16 == 0) return;
  fault(warp, CUDA_ERROR_ILLEGAL_INSTRUCTION, lane, "%u bytes, not a multiple of 16", size);
}

}  // namespace

// global -> shared.
static void octavo_bulk_load(Warp* warp, std::uint32_t mask, std::uint32_t window,
                             const std::uint64_t* to, const std::uint64_t* from,
                             const std::uint32_t* size, const std::uint64_t* mbarrier,
                             const std::uint16_t* cta_mask) {
  for_lanes(mask, [&](int lane) {
    const std::uint32_t bytes = size[lane];
    check_size(*warp, lane, bytes);
    std::byte* target = resolve_window(*warp, lane, to[lane], bytes, 16, SharedWindow{window});
    const std::byte* source = resolve_global(*warp, lane, from[lane], bytes, 16);
    std::byte* signal = resolve_signal(*warp, lane, mbarrier[lane], SharedWindow{window}, target);
    for_destinations(
        *warp, lane, cta_mask, target, signal, [&](std::byte* at, std::byte* signalled) {
          auto copy =
              std::make_unique<BulkCopy>(*warp, lane, at, source, bytes, nullptr, signalled);
          if (bytes != 0) copy->writes = {{at, bytes}};
          issue(*warp, std::move(copy));
        });
  });
}

// shared -> global.
static void octavo_bulk_store(Warp* warp, std::uint32_t mask, const std::uint64_t* to,
                              const std::uint64_t* from, const std::uint32_t* size,
                              std::uint32_t reduction, std::uint32_t type) {
  for_lanes(mask, [&](int lane) {
    const std::uint32_t bytes = size[lane];
    check_size(*warp, lane, bytes);
    std::byte* target = resolve_global(*warp, lane, to[lane], bytes, 16);
    std::byte* source = resolve_shared(*warp, lane, from[lane], bytes, 16);
    auto copy = std::make_unique<BulkCopy>(
        *warp, lane, target, source, bytes,
        find_combine(Reduction{reduction}, ElementType{type}, false), nullptr);
    if (bytes != 0) copy->reads = {{source, bytes}};
    issue(*warp, std::move(copy));
  });
}

// shared -> shared of a block of the cluster.
static void octavo_bulk_send(Warp* warp, std::uint32_t mask, const std::uint64_t* to,
                             const std::uint64_t* from, const std::uint32_t* size,
                             const std::uint64_t* mbarrier, std::uint32_t reduction,
                             std::uint32_t type) {
  for_lanes(mask, [&](int lane) {
    const std::uint32_t bytes = size[lane];
    check_size(*warp, lane, bytes);
    std::byte* target = resolve_window(*warp, lane, to[lane], bytes, 16, SharedWindow::cluster);
    std::byte* source = resolve_shared(*warp, lane, from[lane], bytes, 16);
    std::byte* signal = resolve_signal(*warp, lane, mbarrier[lane], SharedWindow::cluster, target);
    require_mbarrier(*warp, lane, signal);
    auto copy = std::make_unique<BulkCopy>(
        *warp, lane, target, source, bytes,
        find_combine(Reduction{reduction}, ElementType{type}, true), signal);
    if (bytes != 0) copy->reads = {{source, bytes}};
    if (bytes != 0) copy->writes = {{target, bytes}};
    issue(*warp, std::move(copy));
  });
}

// registers -> shared of a block of the cluster: `count` elements, each of all lanes.
static void octavo_async_store(Warp* warp, std::uint32_t mask, std::uint32_t window,
                               const std::uint64_t* to, const std::byte* values,
                               std::uint32_t count, const std::uint64_t* mbarrier,
                               std::uint32_t reduction, std::uint32_t type) {
  const std::uint32_t element = bytes_of(ElementType{type}), size = count * element;
  const Combine combine = find_combine(Reduction{reduction}, ElementType{type}, true);
  for_lanes(mask, [&](int lane) {
    std::byte* target = resolve_window(*warp, lane, to[lane], size, size, SharedWindow{window});
    std::byte* signal = resolve_signal(*warp, lane, mbarrier[lane], SharedWindow{window}, target);
    require_mbarrier(*warp, lane, signal);
    std::array<std::byte, 16> own;
    for (std::uint32_t i = 0; i < count; ++i) {
      std::memcpy(&own[i * element],
                  values + (i * kLanes + static_cast<std::uint32_t>(lane)) * element, element);
    }
    issue(*warp, std::make_unique<AsyncStore>(*warp, lane, target, own, size, combine, signal));
  });
}

// A hint, but of memory that must be there.
static void octavo_bulk_prefetch(Warp* warp, std::uint32_t mask, const std::uint64_t* from,
                                 const std::uint32_t* size) {
  for_lanes(mask, [&](int lane) {
    check_size(*warp, lane, size[lane]);
    resolve_global(*warp, lane, from[lane], size[lane], 16);
  });
}

static void octavo_bulk_commit(Warp* warp, std::uint32_t mask) {
  commit_group(*warp, mask, Group::bulk);
}

static void octavo_bulk_wait(Warp* warp, std::uint32_t mask, std::uint32_t pending,
                             std::uint32_t only_read) {
  wait_group(*warp, mask, Group::bulk, pending, only_read != 0);
}

std::span<const Helper> bulk_copy_helpers() {
  static const Helper list[] = {
      OCTAVO_HELPER(octavo_bulk_load),   OCTAVO_HELPER(octavo_bulk_store),
      OCTAVO_HELPER(octavo_bulk_send),   OCTAVO_HELPER(octavo_bulk_prefetch),
      OCTAVO_HELPER(octavo_bulk_commit), OCTAVO_HELPER(octavo_bulk_wait),
      OCTAVO_HELPER(octavo_async_store)};
  return list;
}

}  // namespace octavo::emulator
