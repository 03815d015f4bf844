// Runs a grid: blocks over host threads, the warps of a block in turn on one of them.
#include <fmt/core.h>
#include <immintrin.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <thread>

#include "execute/block.hpp"

namespace octavo::emulator {
namespace {

namespace context = boost::context::detail;

// Virtual: only the pages that a kernel touches are ever committed.
constexpr std::size_t kStackBytes = 4u << 20;
// Wider than any frame of a compiled kernel: an overflow must hit it.
constexpr std::size_t kGuardBytes = 1u << 20;
// Rounds in which every warp only polled, before another block is taken in beside the waiting ones.
constexpr int kPollingRounds = 8;
// A launch in which nothing but polling happens for this long can never end.
constexpr std::int64_t kPollingLimit = 10'000'000'000;
// Rounds that blocks before a faulting one get to end or to fault themselves, once they only poll.
constexpr int kRoundsAfterFault = 64;
constexpr std::int32_t kBudget = 256;

std::int64_t now() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

// A warp's memory, kept for the next one.
struct Slot {
  Warp warp;
  std::vector<PendingCopy> copies;
  std::byte* stack = nullptr;
  std::unique_ptr<std::byte[]> frame_memory, local_memory;
  std::byte* frame = nullptr;

  Slot(std::size_t frame_bytes, std::size_t local_bytes) {
    void* memory = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw Fault(CUDA_ERROR_OUT_OF_MEMORY, "no memory for a warp's stack");
    stack = static_cast<std::byte*>(memory);
    mprotect(stack, kGuardBytes, PROT_NONE);
    frame_memory.reset(new std::byte[frame_bytes + 64]);
    const auto address = reinterpret_cast<std::uintptr_t>(frame_memory.get());
    frame = frame_memory.get() + (64 - address % 64) % 64;
    local_memory.reset(new std::byte[local_bytes * kLanes + 16]);
  }
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;
  ~Slot() { munmap(stack, kStackBytes); }
};

void finish(Warp& warp);

void run_warp(context::transfer_t from) {
  auto& warp = *static_cast<Warp*>(from.data);
  warp.scheduler = from.fctx;
  warp.block->launch->code.function(&warp, warp.frame);
  finish(warp);
  context::jump_fcontext(warp.scheduler, nullptr);
}

// What a host thread runs: the blocks it has taken in, their warps in turn.
class Worker {
 public:
  explicit Worker(Launch& launch) : launch_(launch) {}

  void run() {
    const unsigned mode = _mm_getcsr();
    _mm_setcsr(0x1F80);  // round to nearest, subnormals kept, no traps: whatever the caller had
    try {
      while (take_in()) {
        while (!resident_.empty()) round();
      }
    } catch (const Fault& fault) {
      launch_.record(current_, fault);
    } catch (const std::exception& error) {
      launch_.record(current_, Fault(CUDA_ERROR_OUT_OF_MEMORY, error.what()));
    }
    _mm_setcsr(mode);
  }

 private:
  struct Resident {
    Block block;
    std::unique_ptr<std::byte, decltype(&std::free)> shared{nullptr, std::free};
    std::vector<std::unique_ptr<Slot>> slots;
    int polling_rounds = 0;
  };

  bool take_in() {
    if (launch_.first_fault.load() != ~std::uint64_t{0}) return false;
    const std::uint64_t number = launch_.next_block.fetch_add(1);
    if (number >= launch_.blocks()) return false;
    current_ = number;
    resident_.push_back(make_block(number));
    return true;
  }

  std::unique_ptr<Resident> make_block(std::uint64_t number) {
    auto resident = std::move(spare_);
    if (!resident) {
      resident = std::make_unique<Resident>();
      resident->shared.reset(static_cast<std::byte*>(
          std::aligned_alloc(1024, (launch_.shared_bytes() + 2047) / 1024 * 1024)));
      if (!resident->shared) throw Fault(CUDA_ERROR_OUT_OF_MEMORY, "no memory for a block");
    }
    std::memset(resident->shared.get(), 0xFF, launch_.shared_bytes());
    resident->polling_rounds = 0;
    Block& block = resident->block;
    block = Block{};
    block.launch = &launch_;
    block.number = number;
    const Dim3 grid = launch_.shape.grid;
    block.index[0] = static_cast<std::uint32_t>(number % grid.x);
    block.index[1] = static_cast<std::uint32_t>(number / grid.x % grid.y);
    block.index[2] = static_cast<std::uint32_t>(number / grid.x / grid.y);
    block.shared = resident->shared.get();
    block.live_warps = (launch_.threads() + kLanes - 1) / kLanes;
    while (resident->slots.size() < block.live_warps) {
      resident->slots.push_back(
          std::make_unique<Slot>(launch_.code.frame_bytes, launch_.info->local_bytes));
    }
    for (std::uint32_t w = 0; w < block.live_warps; ++w) {
      start_warp(*resident->slots[w], block, w);
      block.warps.push_back(&resident->slots[w]->warp);
    }
    return resident;
  }

  void start_warp(Slot& slot, Block& block, std::uint32_t number) {
    Warp& warp = slot.warp;
    std::memset(static_cast<void*>(&warp), 0, sizeof warp);
    slot.copies.clear();
    // Registers and local memory that were never written hold NaNs, whatever ran here before.
    std::memset(slot.frame, 0xFF, launch_.code.frame_bytes);
    std::memset(slot.local_memory.get(), 0xFF, std::size_t{launch_.info->local_bytes} * kLanes);
    const LaunchShape& shape = launch_.shape;
    const std::uint32_t first = number * kLanes;
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
    warp.budget = kBudget;
    for (int d = 0; d < 3; ++d) warp.ctaid[d] = block.index[d];
    const Dim3 grid = shape.grid, threads = shape.block;
    warp.ntid[0] = threads.x, warp.ntid[1] = threads.y, warp.ntid[2] = threads.z;
    warp.nctaid[0] = grid.x, warp.nctaid[1] = grid.y, warp.nctaid[2] = grid.z;
    warp.warpid = number;
    warp.nwarpid = block.live_warps;
    warp.nsmid = static_cast<std::uint32_t>(launch_.device->multiprocessors);
    warp.smid = static_cast<std::uint32_t>(block.number % warp.nsmid);
    warp.dynamic_shared_bytes = shape.dynamic_shared_bytes;
    warp.total_shared_bytes = launch_.shared_bytes();
    warp.gridid = launch_.id;
    warp.parameters = launch_.parameters;
    warp.parameter_bytes = launch_.info->parameter_bytes;
    warp.symbols = launch_.symbols;
    warp.shared = block.shared;
    warp.frame = slot.frame;
    warp.local = slot.local_memory.get();
    warp.local_bytes = launch_.info->local_bytes;
    warp.block = &block;
    warp.copies = &slot.copies;
    warp.state = WarpState::ready;
    warp.context =
        context::make_fcontext(slot.stack + kStackBytes, kStackBytes - kGuardBytes, run_warp);
  }

  // Every warp of every resident block gets a turn.
  void round() {
    bool polling = true;
    for (std::size_t i = 0; i < resident_.size();) {
      Resident& resident = *resident_[i];
      const bool advanced = turn(resident);
      polling = polling && !advanced;
      resident.polling_rounds = advanced ? 0 : resident.polling_rounds + 1;
      if (resident.block.fault) launch_.record(resident.block.number, *resident.block.fault);
      if (resident.block.live_warps == 0 || given_up(resident)) {
        spare_ = std::move(resident_[i]);
        resident_.erase(resident_.begin() + static_cast<std::ptrdiff_t>(i));
        polling = false;
      } else {
        ++i;
      }
    }
    watch(polling);
  }

  bool given_up(const Resident& resident) const {
    const std::uint64_t first = launch_.first_fault.load();
    return first <= resident.block.number ||
           (first != ~std::uint64_t{0} && resident.polling_rounds > kRoundsAfterFault);
  }

  // True if a warp did more than to poll.
  bool turn(Resident& resident) {
    Block& block = resident.block;
    current_ = block.number;
    bool ran = false, advanced = false;
    for (Warp* warp : block.warps) {
      if (warp->state != WarpState::ready) continue;
      ran = true;
      warp->polled = warp->advanced = false;
      warp->budget = kBudget;
      const auto back = context::jump_fcontext(warp->context, warp);
      warp->context = back.fctx;
      if (block.fault) return true;
      advanced = advanced || warp->advanced || !warp->polled || warp->state != WarpState::ready;
    }
    if (!ran && block.live_warps != 0) block.fault = deadlock(block);
    return advanced;
  }

  Fault deadlock(const Block& block) const {
    std::string waits;
    for (const Warp* warp : block.warps) {
      if (warp->state != WarpState::waiting || waits.size() > 200) continue;
      const Barrier& barrier = block.barriers[warp->barrier];
      waits += fmt::format("{}warp {} at barrier {} ({} of {} threads arrived, line {})",
                           waits.empty() ? "" : ", ", warp->warpid, warp->barrier, barrier.threads,
                           barrier.expected, warp->line);
    }
    return Fault(
        CUDA_ERROR_LAUNCH_FAILED,
        fmt::format("kernel {}: block ({},{},{}): barriers that can never complete: {}",
                    launch_.info->name, block.index[0], block.index[1], block.index[2], waits));
  }

  // Takes in another block when those here only wait for one, and ends a launch that cannot end.
  void watch(bool polling) {
    const std::int64_t time = now();
    if (!polling) {
      polling_rounds_ = 0;
      launch_.last_progress.store(time, std::memory_order_relaxed);
    } else if (!resident_.empty() &&
               ++polling_rounds_ > (resident_.size() > 1 ? 1 : kPollingRounds)) {
      polling_rounds_ = 0;
      if (!take_in() && time - launch_.last_progress.load() > kPollingLimit) {
        give_up("every warp only polls memory that no other will write");
      }
    }
    if (time > launch_.deadline)
      give_up("the launch took longer than OCTAVO_EMULATOR_TIMEOUT seconds");
  }

  void give_up(const char* why) {
    if (resident_.empty()) return;
    const Warp* running = nullptr;
    for (const Warp* warp : resident_[0]->block.warps) {
      if (warp->state == WarpState::ready && running == nullptr) running = warp;
    }
    const Block& block = resident_[0]->block;
    launch_.record(
        block.number,
        Fault(CUDA_ERROR_LAUNCH_FAILED,
              fmt::format("kernel {}: block ({},{},{}), warp {}, near line {}: {}",
                          launch_.info->name, block.index[0], block.index[1], block.index[2],
                          running ? running->warpid : 0, running ? running->line : 0, why)));
    resident_.clear();
  }

  Launch& launch_;
  std::vector<std::unique_ptr<Resident>> resident_;
  std::unique_ptr<Resident> spare_;
  std::uint64_t current_ = 0;
  int polling_rounds_ = 0;
};

void finish(Warp& warp) {
  warp.state = WarpState::done;
  Block& block = *warp.block;
  --block.live_warps;
  // Those that stay need not wait for this warp any more.
  for (std::uint32_t b = 0; b < kBarriers; ++b) try_complete(block, b);
}

}  // namespace

void yield(Warp& warp) {
  const auto back = context::jump_fcontext(warp.scheduler, nullptr);
  warp.scheduler = back.fctx;
}

constexpr std::size_t kLongestQuote = 160;

std::string_view ptx_line(std::string_view ptx, int line) {
  std::size_t begin = 0;
  for (int i = 1; i < line; ++i) {
    begin = ptx.find('\n', begin);
    if (begin == std::string_view::npos) return {};
    ++begin;
  }
  std::string_view text = ptx.substr(begin, ptx.find('\n', begin) - begin);
  text = text.substr(0, std::min(text.find("//"), kLongestQuote));
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r;") + 1 - first);
}

void fault(Warp& warp, CUresult code, int lane, const char* format, ...) {
  char what[512];
  std::va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(what, sizeof what, format, arguments);
  va_end(arguments);
  {
    const Block& block = *warp.block;
    std::string instruction(ptx_line(block.launch->ptx, warp.line));
    std::replace(instruction.begin(), instruction.end(), '\t', ' ');
    warp.block->fault.emplace(
        code, fmt::format("kernel {}, line {}: {}: block ({},{},{}), warp {}, lane {}: {}",
                          block.launch->info->name, warp.line, instruction, block.index[0],
                          block.index[1], block.index[2], warp.warpid, lane, what));
  }
  for (;;) yield(warp);
}

void Launch::record(std::uint64_t block, const Fault& what) {
  const std::lock_guard lock(fault_mutex);
  if (block >= first_fault.load()) return;
  first_fault.store(block);
  fault.emplace(what);
}

void run_grid(Launch& launch, unsigned threads) {
  launch.last_progress.store(now());
  const auto workers = static_cast<unsigned>(std::min<std::uint64_t>(threads, launch.blocks()));
  std::vector<std::jthread> pool;
  for (unsigned i = 1; i < workers; ++i) pool.emplace_back([&launch] { Worker(launch).run(); });
  Worker(launch).run();
}

}  // namespace octavo::emulator
