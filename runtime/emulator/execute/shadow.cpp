#include "execute/shadow.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>

#include "execute/access.hpp"
#include "execute/cluster.hpp"

namespace octavo::emulator {
namespace {

constexpr std::uint32_t kMostThreads = (1 << 14) - 1;
constexpr std::int32_t kMostLines = (1 << 18) - 1;

constexpr std::uint64_t kEveryByte = 0x0101010101010101ull;

constexpr std::size_t kPage = 256;  // granules
constexpr std::size_t pages(std::size_t granules) { return granules / kPage + 1; }

}  // namespace

void Shadow::start(Cluster& owner, std::byte* memory, std::size_t bytes, std::size_t warps) {
  cluster_ = &owner;
  memory_ = memory;
  bytes_ = bytes;
  const std::size_t granules = (bytes + 3) / 4;
  flags_.assign(granules, 0);
  readers_.assign(granules, 0);
  reducers_.assign(granules, 0);
  last_writes_.resize(granules);
  loaders_.resize(granules);
  warps_of_block_ = warps / owner.blocks.size();
  if (loads_room_ < granules * warps_of_block_) {
    loads_room_ = granules * warps_of_block_;
    loads_.reset(new Touch[loads_room_]);
  }
  last_loads_.assign(pages(granules) * warps_of_block_, 0);
  mbarriers_.clear();
  clocks.start(warps);
}

std::size_t Shadow::find(const std::byte* at, std::uint32_t bytes, std::uint8_t flags) const {
  const std::size_t first = granule(at), last = granule(at + bytes - 1);
  std::size_t i = first;
  for (; i + 8 <= last + 1; i += 8) {
    std::uint64_t eight;
    std::memcpy(&eight, &flags_[i], sizeof eight);
    if ((eight & kEveryByte * flags) != 0) break;
  }
  for (; i <= last; ++i) {
    if ((flags_[i] & flags) != 0) return i;
  }
  return kNone;
}

std::string Shadow::name(const std::byte* at) const {
  const auto offset = static_cast<std::size_t>(at - memory_);
  if (cluster_->blocks.size() == 1) return fmt::format("shared address 0x{:x}", offset);
  return fmt::format("shared address 0x{:x} of block {} of the cluster", offset % kSharedWindow,
                     offset / kSharedWindow);
}

void Shadow::conflict(Warp& warp, int lane, const char* verb, std::size_t at) {
  const std::byte* address = memory_ + at * 4;
  const Launch& launch = *cluster_->launch;
  if ((flags_[at] & kMbarrier) != 0) {
    const auto found = std::find_if(mbarriers_.begin(), mbarriers_.end(), [&](const auto& entry) {
      return address >= entry.first && address < entry.first + 8;
    });
    fault(warp, lane, [&] {
      return fmt::format("{} {}, an mbarrier that was initialised at {}", verb, name(address),
                         describe(launch, found->second.initialised));
    });
  }
  const bool written = (flags_[at] & (kWritten | kReduced)) != 0;
  const Operation* operation = cluster_->async->find(address, written);
  fault(warp, lane, [&] {
    return fmt::format("{} {}, which work in flight still {}: {}", verb, name(address),
                       written ? "writes" : "reads", describe(launch, operation->site));
  });
}

void Shadow::load(Warp& warp, int lane, const std::byte* at, std::uint32_t bytes) {
  if (!contains(at)) return;
  const std::size_t found = find(at, bytes, kWritten | kReduced | kMbarrier);
  if (found != kNone) conflict(warp, lane, "reads", found);
  note_read(*warp.block, cluster_warp(warp), lane, warp.line, at, bytes);
}

void Shadow::store(Warp& warp, int lane, const std::byte* at, std::uint32_t bytes) {
  write(warp, lane, at, bytes, kWritten | kReduced | kRead | kMbarrier);
}

void Shadow::update(Warp& warp, int lane, const std::byte* at, std::uint32_t bytes) {
  write(warp, lane, at, bytes, kWritten | kRead | kMbarrier);
}

void Shadow::write(Warp& warp, int lane, const std::byte* at, std::uint32_t bytes,
                   std::uint8_t mind) {
  if (!contains(at)) return;
  const std::size_t found = find(at, bytes, mind);
  if (found != kNone) conflict(warp, lane, "writes", found);
  note_write(cluster_warp(warp), lane, warp.line, at, bytes);
}

Shadow::Touch Shadow::touch(std::size_t warp, int lane, std::int32_t line) const {
  const auto thread = static_cast<std::uint32_t>(warp * kLanes) + static_cast<std::uint32_t>(lane);
  return {clocks.time(warp), thread & kMostThreads,
          static_cast<std::uint32_t>(std::min(line, kMostLines)) & kMostLines};
}

std::string Shadow::describe_touch(const Touch& touch) const {
  Site site = site_of(cluster_->warp(touch.thread / kLanes), touch.thread % kLanes);
  site.line = static_cast<std::int32_t>(touch.line);
  return describe(*cluster_->launch, site);
}

void Shadow::note_write(std::size_t warp, int lane, std::int32_t line, const std::byte* at,
                        std::uint32_t bytes) {
  const Touch write = touch(warp, lane, line);
  const std::size_t last = granule(at + bytes - 1);
  for (std::size_t i = granule(at); i <= last; ++i) {
    flags_[i] |= kGeneric;
    last_writes_[i] = write;
  }
}

void Shadow::note_read(const Block& block, std::size_t warp, int lane, std::int32_t line,
                       const std::byte* at, std::uint32_t bytes) {
  if (at < block.shared || at >= block.shared + block.launch->shared_bytes()) return;
  const std::size_t own = warp % warps_of_block_;
  const Touch read = touch(warp, lane, line);
  Touch* loads = &loads_[own * flags_.size()];
  const std::size_t first = granule(at), last = granule(at + bytes - 1);
  for (std::size_t i = first; i <= last; ++i) {
    if ((flags_[i] & kLoaded) == 0) loaders_[i] = 0;
    flags_[i] |= kLoaded;
    loaders_[i] |= 1u << own;
    loads[i] = read;
  }
  for (std::size_t page = first / kPage; page <= last / kPage; ++page)
    last_loads_[own * pages(flags_.size()) + page] = read.time;
}

void Shadow::check(Warp& warp, const Operation& operation, const SharedRange& range, bool writes) {
  const bool reduces = writes && operation.reduces;
  const std::uint8_t mind = kMbarrier | kWritten | (reduces ? 0 : kReduced) | (writes ? kRead : 0);
  const std::size_t found = find(range.begin, range.bytes, mind);
  if (found != kNone) {
    conflict(warp, __builtin_ctz(range.lanes), writes ? "will write" : "will read", found);
  }
  if (operation.async_proxy) check_fences(warp, operation, range, writes);
  if (writes) check_loads(warp, operation, range);
}

void Shadow::check_fences(Warp& warp, const Operation& operation, const SharedRange& range,
                          bool writes) {
  for (const std::byte* at = range.begin;;) {
    const auto left = static_cast<std::uint32_t>(range.begin + range.bytes - at);
    const std::size_t i = left == 0 ? kNone : find(at, left, kGeneric);
    if (i == kNone) return;
    at = std::min(memory_ + (i + 1) * 4, range.begin + range.bytes);
    const Touch& write = last_writes_[i];
    const int lane = static_cast<int>(write.thread % kLanes);
    if (clocks.visible(operation.warp, write.thread / kLanes, lane, write.time)) continue;
    fault(warp, operation.site.lane, [&] {
      return fmt::format("{} {}, which a thread wrote without a fence.proxy.async after it: {}",
                         writes ? "will write" : "will read", name(memory_ + i * 4),
                         describe_touch(write));
    });
  }
}

// The lanes of a warp count as one here: what they do is taken to be in the order of its program.
void Shadow::check_loads(Warp& warp, const Operation& operation, const SharedRange& range) {
  const std::size_t rank = rank_of(*cluster_, range.begin);
  const std::size_t first = granule(range.begin), last = granule(range.begin + range.bytes - 1);
  for (std::size_t own = 0; own < warps_of_block_; ++own) {
    const std::size_t reader = rank * warps_of_block_ + own;
    if (reader == operation.warp) continue;
    const std::uint32_t* pages_loaded = &last_loads_[own * pages(flags_.size())];
    const Touch* loads = &loads_[own * flags_.size()];
    for (std::size_t i = first; i <= last; ++i) {
      if (clocks.happened(operation.warp, reader, pages_loaded[i / kPage])) {
        i = (i / kPage + 1) * kPage - 1;
        continue;
      }
      if ((flags_[i] & kLoaded) == 0 || (loaders_[i] >> own & 1) == 0) continue;
      if (clocks.happened(operation.warp, reader, loads[i].time)) continue;
      fault(warp, __builtin_ctz(range.lanes), [&] {
        return fmt::format(
            "will write {}, which a thread read without a barrier or mbarrier between "
            "the two: {}",
            name(memory_ + i * 4), describe_touch(loads[i]));
      });
    }
  }
}

void Shadow::begin(Warp& warp, const Operation& operation) {
  for (const SharedRange& range : operation.reads) check(warp, operation, range, false);
  for (const SharedRange& range : operation.writes) check(warp, operation, range, true);
  for (const SharedRange& range : operation.reads) {
    const std::size_t last = granule(range.begin + range.bytes - 1);
    for (std::size_t i = granule(range.begin); i <= last; ++i) {
      ++readers_[i];
      flags_[i] |= kRead;
    }
  }
  for (const SharedRange& range : operation.writes) {
    const std::size_t last = granule(range.begin + range.bytes - 1);
    for (std::size_t i = granule(range.begin); i <= last; ++i) {
      if (operation.reduces) ++reducers_[i];
      flags_[i] |= operation.reduces ? kReduced : kWritten;
    }
  }
}

void Shadow::end_reads(const Operation& operation, std::uint32_t lanes) {
  for (const SharedRange& range : operation.reads) {
    if ((range.lanes & lanes) == 0) continue;
    const std::size_t last = granule(range.begin + range.bytes - 1);
    for (std::size_t i = granule(range.begin); i <= last; ++i) {
      if (--readers_[i] == 0) flags_[i] &= static_cast<std::uint8_t>(~kRead);
    }
    // Its warp waits for it, so that whoever is to write there must wait for the warp.
    if (operation.group == Group::wgmma) {
      note_read(operation.block, operation.warp, operation.site.lane, operation.site.line,
                range.begin, range.bytes);
    }
  }
}

void Shadow::end_writes(const Operation& operation, std::uint32_t lanes) {
  for (const SharedRange& range : operation.writes) {
    if ((range.lanes & lanes) == 0) continue;
    const std::size_t last = granule(range.begin + range.bytes - 1);
    for (std::size_t i = granule(range.begin); i <= last; ++i) {
      const bool last_one = operation.reduces && --reducers_[i] == 0;
      flags_[i] &=
          static_cast<std::uint8_t>(~(kWritten | kGeneric | kLoaded | (last_one ? kReduced : 0)));
    }
    // st.async and red.async need no fence before them, and are not held to one after them.
    if (operation.group == Group::cp_async) {
      note_write(operation.warp, __builtin_ctz(range.lanes), operation.site.line, range.begin,
                 range.bytes);
    }
  }
}

void note_access(Warp& warp, int lane, const std::byte* at, std::uint32_t bytes, Access access) {
  if (warp.shadow == nullptr) return;
  switch (access) {
    case Access::read:
      return warp.shadow->load(warp, lane, at, bytes);
    case Access::write:
      return warp.shadow->store(warp, lane, at, bytes);
    case Access::update:
      return warp.shadow->update(warp, lane, at, bytes);
  }
}

Mbarrier* Shadow::find_mbarrier(const std::byte* at) {
  const auto found = mbarriers_.find(at);
  return found == mbarriers_.end() ? nullptr : &found->second;
}

Mbarrier& Shadow::add_mbarrier(const Site& site, const std::byte* at) {
  for (std::size_t i = granule(at); i < granule(at) + 2; ++i) flags_[i] = kMbarrier;
  return mbarriers_[at] = {site, {}, {}};
}

void Shadow::remove_mbarrier(const std::byte* at) {
  for (std::size_t i = granule(at); i < granule(at) + 2; ++i) flags_[i] = 0;
  mbarriers_.erase(at);
}

}  // namespace octavo::emulator
