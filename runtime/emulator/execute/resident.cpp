#include "execute/resident.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace octavo::emulator {
namespace {

void run_warp(void* argument) {
  auto& warp = *static_cast<Warp*>(argument);
  warp.block->launch->code.function(&warp, warp.frame);
  finish(warp);
  yield(warp);
}

Dim3 index_of(std::uint64_t number, const Dim3& size) {
  return {static_cast<std::uint32_t>(number % size.x),
          static_cast<std::uint32_t>(number / size.x % size.y),
          static_cast<std::uint32_t>(number / size.x / size.y)};
}

void copy(const Dim3& from, std::uint32_t (&to)[3]) {
  to[0] = from.x, to[1] = from.y, to[2] = from.z;
}

}  // namespace

ReservedMemory::ReservedMemory(std::size_t bytes) : bytes_(bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw Fault(CUDA_ERROR_OUT_OF_MEMORY, "no memory for a block");
  begin_ = static_cast<std::byte*>(memory);
}

ReservedMemory::~ReservedMemory() { munmap(begin_, bytes_); }

WarpMemory::WarpMemory(std::size_t frame_bytes, std::size_t local_bytes) {
  frame_memory.reset(new std::byte[frame_bytes + 64]);
  const auto address = reinterpret_cast<std::uintptr_t>(frame_memory.get());
  frame = frame_memory.get() + (64 - address % 64) % 64;
  local_memory.reset(new std::byte[local_bytes * kLanes + 16]);
}

Resident::Resident(Launch& launch)
    : launch_(launch),
      warps_of_block_((launch.threads() + kLanes - 1) / kLanes),
      window_(launch.first_shared_address() + (count(launch.shape.cluster) - 1) * kSharedWindow +
              launch.shared_bytes() + 1) {
  for (std::size_t w = 0; w < count(launch.shape.cluster) * warps_of_block_; ++w) {
    memories_.push_back(
        std::make_unique<WarpMemory>(launch.code.frame_bytes, launch.local_bytes()));
  }
}

void Resident::start(std::uint64_t turn) {
  polling_rounds = 0;
  cluster = Cluster{};
  cluster.launch = &launch_;
  cluster.turn = turn;
  cluster.number = launch_.cluster_at(turn);
  cluster.schedule = Random(launch_.order.schedule_seed, cluster.number);
  cluster.blocks.resize(count(launch_.shape.cluster));
  cluster.defined = &shared_defined_;
  shared_defined_.start(window_.begin(), window_.bytes());
  if (launch_.code.asynchronous) {
    const std::size_t warps = cluster.blocks.size() * warps_of_block_;
    cluster.async = &async_;
    cluster.shadow = &shadow_;
    async_.start(cluster, warps, launch_.order);
    shadow_.start(cluster, window_.begin(), window_.bytes(), warps);
  }
  for (std::uint32_t rank = 0; rank < cluster.blocks.size(); ++rank) {
    start_block(cluster.blocks[rank], rank);
  }
}

void Resident::start_block(Block& block, std::uint32_t rank) {
  const Dim3 size = launch_.shape.cluster;
  const Dim3 first = index_of(cluster.number, launch_.grid_of_clusters());
  const Dim3 inner = index_of(rank, size);
  block.launch = &launch_;
  block.cluster = &cluster;
  block.rank = rank;
  block.index[0] = first.x * size.x + inner.x;
  block.index[1] = first.y * size.y + inner.y;
  block.index[2] = first.z * size.z + inner.z;
  block.shared =
      window_.begin() + launch_.first_shared_address() + std::size_t{rank} * kSharedWindow;
  std::memset(block.shared, 0xFF, launch_.shared_bytes());
  block.live_warps = warps_of_block_;
  cluster.live_warps += warps_of_block_;
  for (std::uint32_t w = 0; w < warps_of_block_; ++w) {
    WarpMemory& memory = *memories_[rank * warps_of_block_ + w];
    start_warp(memory, block, w);
    block.warps.push_back(&memory.warp);
    cluster.warps.push_back(&memory.warp);
  }
}

void Resident::start_warp(WarpMemory& memory, Block& block, std::uint32_t warpid) const {
  Warp& warp = memory.warp;
  std::memset(static_cast<void*>(&warp), 0, sizeof warp);
  // Registers and local memory that were never written hold NaNs, whatever ran here before.
  std::memset(memory.frame, 0xFF, launch_.code.frame_bytes);
  const std::size_t local_bytes = std::size_t{launch_.local_bytes()} * kLanes;
  std::memset(memory.local_memory.get(), 0xFF, local_bytes);
  memory.local_defined.start(memory.local_memory.get(), local_bytes);
  memory.undefined_loads.clear();
  const LaunchShape& shape = launch_.shape;
  const std::uint32_t first = warpid * kLanes;
  for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
    const std::uint32_t thread = first + lane;
    warp.tid[0][lane] = thread % shape.block.x;
    warp.tid[1][lane] = thread / shape.block.x % shape.block.y;
    warp.tid[2][lane] = thread / shape.block.x / shape.block.y;
    const bool exists = thread < launch_.threads();
    warp.mask_lanes[lane] = exists ? ~0u : 0;
    warp.next[lane] = exists ? 0 : kExited;
    if (exists) warp.mask |= 1u << lane;
  }
  warp.live = warp.mask;
  for (int d = 0; d < 3; ++d) warp.ctaid[d] = block.index[d];
  copy(shape.block, warp.ntid);
  copy(shape.grid, warp.nctaid);
  copy(shape.cluster, warp.cluster_nctaid);
  copy(launch_.grid_of_clusters(), warp.nclusterid);
  copy(index_of(block.rank, shape.cluster), warp.cluster_ctaid);
  copy(index_of(block.cluster->number, launch_.grid_of_clusters()), warp.clusterid);
  warp.cluster_ctarank = block.rank;
  warp.cluster_nctarank = static_cast<std::uint32_t>(count(shape.cluster));
  warp.is_explicit_cluster = shape.explicit_cluster;
  warp.grid_workspace[0] = static_cast<std::uint32_t>(launch_.grid_workspace >> 32);
  warp.grid_workspace[1] = static_cast<std::uint32_t>(launch_.grid_workspace);
  warp.warpid = warpid;
  warp.nwarpid = warps_of_block_;
  warp.nsmid = static_cast<std::uint32_t>(launch_.device->multiprocessors);
  const std::uint64_t number = block.cluster->number * warp.cluster_nctarank + block.rank;
  warp.smid = static_cast<std::uint32_t>(number % warp.nsmid);
  warp.dynamic_shared_bytes = shape.dynamic_shared_bytes;
  warp.total_shared_bytes = launch_.shared_bytes();
  warp.gridid = launch_.id;
  warp.parameters = launch_.parameters;
  warp.parameter_bytes = launch_.info->parameter_bytes;
  warp.symbols = launch_.symbols;
  warp.shared = window_.begin();
  warp.shared_begin = block.rank * kSharedWindow + launch_.first_shared_address();
  warp.registers = launch_.registers;
  warp.frame = memory.frame;
  warp.local = memory.local_memory.get();
  warp.local_bytes = launch_.local_bytes();
  std::fill_n(warp.stack, kLanes, launch_.info->local_bytes);
  std::fill_n(warp.stack_end, kLanes, launch_.local_bytes());
  warp.block = &block;
  memory.wgmmas = {};
  warp.wgmmas = &memory.wgmmas;
  warp.shadow = block.cluster->shadow;
  warp.shared_defined = block.cluster->defined;
  warp.local_defined = &memory.local_defined;
  warp.undefined_loads = &memory.undefined_loads;
  warp.state = WarpState::ready;
  warp.fiber.start(memory.stack, run_warp, &warp);
}

}  // namespace octavo::emulator
