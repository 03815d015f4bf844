// A launch over the host's threads, and how a warp leaves its kernel: for a while, or for good.
#include <fmt/core.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <numeric>
#include <thread>

#include "execute/worker.hpp"

namespace octavo::emulator {

void yield(Warp& warp) { warp.fiber.suspend(); }

std::string_view ptx_line(std::string_view ptx, int line) {
  constexpr std::size_t kLongestQuote = 160;
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
  fault(warp, lane, [&] { return std::string(what); }, code);
}

void Launch::record(std::uint64_t turn, const Fault& what) {
  const std::lock_guard lock(fault_mutex);
  if (turn >= first_fault.load()) return;
  first_fault.store(turn);
  fault.emplace(what);
}

void shuffle_turns(Launch& launch) {
  const std::uint64_t clusters = launch.clusters();
  if (!launch.order.random_schedule || clusters > UINT32_MAX) return;
  Random random(launch.order.schedule_seed, clusters);
  launch.first_cluster = random.below(clusters);
  do {
    launch.stride = 1 + random.below(clusters);
  } while (std::gcd(launch.stride, clusters) != 1);
}

void Launch::print(const Block& block, std::string_view text) {
  const auto [x, y, z] = block.index;
  const std::lock_guard lock(print_mutex);
  printed[(std::uint64_t{z} * shape.grid.y + y) * shape.grid.x + x] += text;
}

void run_grid(Launch& launch, Worker& first, unsigned threads) {
  launch.last_progress.store(std::chrono::steady_clock::now().time_since_epoch().count());
  const auto workers = static_cast<unsigned>(std::min<std::uint64_t>(threads, launch.clusters()));
  std::vector<std::jthread> pool;
  for (unsigned i = 1; i < workers; ++i) pool.emplace_back([&launch] { Worker(launch).run(); });
  first.run();
  pool.clear();
  for (const auto& [block, text] : launch.printed) std::fwrite(text.data(), 1, text.size(), stdout);
  if (!launch.printed.empty()) std::fflush(stdout);
}

}  // namespace octavo::emulator
