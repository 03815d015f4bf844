#include "execute/async.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "execute/cluster.hpp"
#include "execute/mbarrier.hpp"
#include "execute/shadow.hpp"

namespace octavo::emulator {

Site site_of(const Warp& warp, int lane) {
  const auto& index = warp.block->index;
  return {{index[0], index[1], index[2]}, warp.warpid, lane, warp.line};
}

std::string describe(const Launch& launch, const Site& site) {
  std::string instruction(ptx_line(launch.ptx, site.line));
  std::replace(instruction.begin(), instruction.end(), '\t', ' ');
  return fmt::format("line {}: {}: block ({},{},{}), warp {}, lane {}", site.line, instruction,
                     site.block[0], site.block[1], site.block[2], site.warp, site.lane);
}

void report(Cluster& cluster, CUresult code, const Site& site, const std::string& what) {
  if (cluster.fault) return;
  cluster.fault.emplace(code, fmt::format("kernel {}, {}: {}", cluster.launch->info->name,
                                          describe(*cluster.launch, site), what));
}

void report(Warp& warp, CUresult code, int lane, const std::string& what) {
  report(*warp.block->cluster, code, site_of(warp, lane), what);
}

void stop_if_faulted(Warp& warp) {
  while (warp.block->cluster->fault) yield(warp);
}

Operation::Operation(const Warp& of, std::uint32_t lanes_of_warp, Group group_kind)
    : block(*of.block),
      site(site_of(of, __builtin_ctz(lanes_of_warp))),
      warp(cluster_warp(of)),
      lanes(lanes_of_warp),
      group(group_kind),
      number(of.committed_groups[static_cast<int>(group_kind)][site.lane]) {}

void AsyncQueue::start(Cluster& owner, std::size_t warps, const Order& order) {
  cluster_ = &owner;
  completion_ = order.completion;
  lists_.resize(warps);
  for (List& list : lists_) list.clear();
  count_ = 0;
  sequence_ = 0;
  random_ = Random(order.completion_seed, owner.number);
}

const Operation* AsyncQueue::find(const std::byte* at, bool writes) const {
  for (const List& list : lists_) {
    for (const auto& operation : list) {
      for (const SharedRange& range : writes ? operation->writes : operation->reads) {
        if (at >= range.begin && at < range.begin + range.bytes &&
            (range.lanes & operation->lanes) != 0) {
          return operation.get();
        }
      }
    }
  }
  return nullptr;
}

void AsyncQueue::issue(Warp& warp, std::unique_ptr<Operation> operation) {
  warp.advanced = true;
  List& list = lists_[operation->warp];
  list.push_back(std::move(operation));
  ++count_;
  list.back()->sequence = sequence_++;
  warp.shadow->begin(warp, *list.back());
  const bool now = completion_ == Completion::eager ||
                   (completion_ == Completion::random && random_.below(4) == 0);
  if (!now) return;
  perform(list, list.size() - 1, list.back()->lanes);
  sweep(list);
  stop_if_faulted(warp);
}

void AsyncQueue::commit(Warp& warp, std::uint32_t mask, Group group) {
  auto& committed = warp.committed_groups[static_cast<int>(group)];
  for_lanes(mask, [&](int lane) { ++committed[lane]; });
}

void AsyncQueue::wait(Warp& warp, std::uint32_t mask, Group group, std::uint32_t pending,
                      bool only_read) {
  warp.advanced = true;
  const auto& committed = warp.committed_groups[static_cast<int>(group)];
  List& list = lists_[cluster_warp(warp)];
  for (std::size_t i = 0; i < list.size(); ++i) {
    Operation& operation = *list[i];
    if (operation.group != group) continue;
    std::uint32_t due = 0;
    for_lanes(operation.lanes & mask, [&](int lane) {
      if (operation.number + pending < committed[lane]) due |= 1u << lane;
    });
    if (due == 0) continue;
    if (only_read) {
      read(operation);
    } else {
      perform(list, i, due);
    }
  }
  sweep(list);
  stop_if_faulted(warp);
}

void AsyncQueue::read(Operation& operation) {
  if (operation.has_read) return;
  operation.has_read = true;
  operation.read();
  cluster_->shadow->end_reads(operation, operation.lanes);
}

void AsyncQueue::perform(List& list, std::size_t index, std::uint32_t lanes) {
  Operation& operation = *list[index];
  if (operation.in_order) {
    for (std::size_t i = 0; i < index; ++i) {
      const std::uint32_t earlier = list[i]->lanes & lanes;
      if (list[i]->group == operation.group && earlier != 0) perform(list, i, earlier);
    }
  }
  read(operation);
  operation.perform(lanes);
  for (const SharedRange& written : operation.writes) {
    if (operation.reduces) break;  // what is undefined stays so
    if ((written.lanes & lanes) != 0) cluster_->defined->set(written.begin, written.bytes);
  }
  cluster_->shadow->end_writes(operation, lanes);
  operation.lanes &= ~lanes;
}

void AsyncQueue::sweep(List& list) {
  count_ -= std::erase_if(list, [](const auto& operation) { return operation->lanes == 0; });
}

bool AsyncQueue::perform_awaited() {
  const Operation* oldest = nullptr;
  for (const Warp* warp : cluster_->warps) {
    if (warp->mbarrier_wait == nullptr) continue;
    for (const List& list : lists_) {
      for (const auto& operation : list) {
        if (operation->mbarrier == nullptr || !warp->mbarrier_wait->waits_for(operation->mbarrier))
          continue;
        if (oldest == nullptr || operation->sequence < oldest->sequence) oldest = operation.get();
        break;  // those after it are younger
      }
    }
  }
  if (oldest == nullptr) return false;
  List& list = lists_[oldest->warp];
  const auto place = std::find_if(list.begin(), list.end(),
                                  [&](const auto& operation) { return operation.get() == oldest; });
  perform(list, static_cast<std::size_t>(place - list.begin()), oldest->lanes);
  sweep(list);
  return true;
}

void AsyncQueue::perform_at_random() {
  if (completion_ != Completion::random || count_ == 0 || random_.below(2) == 0) return;
  std::size_t chosen = random_.below(count_);
  for (List& list : lists_) {
    if (chosen >= list.size()) {
      chosen -= list.size();
      continue;
    }
    if (random_.below(4) == 0) {
      read(*list[chosen]);
    } else {
      perform(list, chosen, list[chosen]->lanes);
      sweep(list);
    }
    return;
  }
}

void AsyncQueue::end_block(Block& block) {
  const std::byte* begin = block.shared;
  const std::byte* end = begin + block.launch->shared_bytes();
  const auto inside = [&](const SharedRange& range) {
    return range.begin >= begin && range.begin < end;
  };
  for (List& list : lists_) {
    for (std::size_t i = 0; i < list.size(); ++i) {
      Operation& operation = *list[i];
      const bool touches = std::any_of(operation.writes.begin(), operation.writes.end(), inside) ||
                           (!operation.has_read &&
                            std::any_of(operation.reads.begin(), operation.reads.end(), inside));
      if (touches && operation.group != Group::cp_async) {
        report(*cluster_, CUDA_ERROR_LAUNCH_FAILED, operation.site,
               fmt::format("block ({},{},{}) ended while this was in flight; nothing waited for it",
                           block.index[0], block.index[1], block.index[2]));
        return;
      }
      if (&operation.block == &block) perform(list, i, operation.lanes);
    }
    sweep(list);
  }
}

void issue(Warp& warp, std::unique_ptr<Operation> operation) {
  warp.block->cluster->async->issue(warp, std::move(operation));
}

void commit_group(Warp& warp, std::uint32_t mask, Group group) {
  warp.block->cluster->async->commit(warp, mask, group);
}

void wait_group(Warp& warp, std::uint32_t mask, Group group, std::uint32_t pending,
                bool only_read) {
  warp.block->cluster->async->wait(warp, mask, group, pending, only_read);
}

}  // namespace octavo::emulator
