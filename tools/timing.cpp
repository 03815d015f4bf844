#include "tools/timing.hpp"

#include <algorithm>
#include <vector>

#include "runtime/driver.hpp"
#include "runtime/graph.hpp"

namespace octavo {
namespace {

const char* const kMemoryText =
#include "probes/memory.inc"
    ;

constexpr int kReplays = 15;
constexpr unsigned kThreads = 512;
constexpr double kUsableMemory = 0.9;

}  // namespace

std::size_t bytes_meanwhile(double operations) {
  constexpr double kOperationsPerByte = 300;
  return static_cast<std::size_t>(operations / kOperationsPerByte);
}

Timing::Timing(const Device& device)
    : device_(device),
      stream_(device),
      read_(device, kMemoryText, "read_all"),
      copy_(device, kMemoryText, "copy_all"),
      fill_(device, kMemoryText, "fill_random"),
      sink_(device, sizeof(unsigned)) {}

std::size_t Timing::copies_for(std::size_t bytes) const {
  if (device_.emulated()) return 1;
  int l2 = 0;
  device_.driver().check(
      device_.driver().cuDeviceGetAttribute(&l2, CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, 0),
      "asking for the L2 cache's size");
  return std::max<std::size_t>(1, (4 * static_cast<std::size_t>(l2) + bytes - 1) / bytes);
}

bool Timing::fits(std::size_t bytes) const {
  std::size_t free = 0, total = 0;
  device_.make_current();
  device_.driver().check(device_.driver().cuMemGetInfo(&free, &total), "cuMemGetInfo");
  return static_cast<double>(bytes) < kUsableMemory * static_cast<double>(free);
}

void Timing::fill(CUdeviceptr to, std::size_t bytes, const std::vector<unsigned>& choices) {
  if (bytes < 4) return;
  Buffer words(device_, choices.size() * sizeof(unsigned));
  words.upload(choices.data(), words.bytes());
  const auto blocks = static_cast<unsigned>(4 * device_.multiprocessors());
  fill_.launch(blocks, kThreads, stream(), to, static_cast<unsigned long long>(bytes / 4), ++seed_,
               words.address(), static_cast<unsigned>(choices.size()));
  stream_.synchronize();
}

// A graph takes some microseconds to begin, which are to be little of what all its launches take.
std::size_t Timing::launches_in_graph(std::size_t copies, std::size_t bytes) const {
  if (device_.emulated()) return 1;
  constexpr std::size_t kGiB = std::size_t{1} << 30;
  const std::size_t launches =
      bytes > kGiB ? 4 : std::clamp<std::size_t>(2 * kGiB / bytes, 20, 200);
  return copies * std::max<std::size_t>(1, launches / copies);
}

double Timing::time(std::size_t copies, std::size_t bytes,
                    const std::function<void(std::size_t)>& launch) const {
  const std::size_t count = launches_in_graph(copies, bytes);
  const Graph graph(device_, stream_, [&] {
    for (std::size_t i = 0; i < count; ++i) launch(i % copies);
  });
  std::vector<double> times;
  const int replays = device_.emulated() ? 1 : kReplays;
  for (int i = device_.emulated() ? 0 : -2; i < replays; ++i) {  // two to warm up
    Event start(device_), end(device_);
    start.record(stream());
    graph.launch();
    end.record(stream());
    const double milliseconds = end.milliseconds_since(start);
    if (i >= 0) times.push_back(milliseconds / static_cast<double>(count));
  }
  std::ranges::sort(times);
  return times[times.size() / 2];
}

double Timing::fastest(const std::function<double(unsigned)>& time_of_blocks) const {
  double best = 0;
  for (const int blocks_each : {1, 2, 4}) {
    const double milliseconds =
        time_of_blocks(static_cast<unsigned>(blocks_each * device_.multiprocessors()));
    best = best == 0 ? milliseconds : std::min(best, milliseconds);
  }
  return best;
}

double Timing::time_read(CUdeviceptr from, std::size_t bytes, std::size_t copies) const {
  return fastest([&](unsigned blocks) {
    return time(copies, bytes, [&](std::size_t copy) {
      read_.launch(blocks, kThreads, stream(), from + copy * (bytes / 16 * 16),
                   static_cast<unsigned long long>(bytes / 16), sink_.address());
    });
  });
}

double Timing::time_copy(CUdeviceptr memory, std::size_t bytes, std::size_t copies) const {
  const std::size_t half = bytes / 32 * 16;
  return fastest([&](unsigned blocks) {
    return time(copies, bytes, [&](std::size_t copy) {
      const CUdeviceptr to = memory + copy * 2 * half;
      copy_.launch(blocks, kThreads, stream(), to + half,
                   static_cast<unsigned long long>(half / 16), to);
    });
  });
}

}  // namespace octavo
