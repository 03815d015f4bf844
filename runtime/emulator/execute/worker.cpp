#include "execute/worker.hpp"

#include <fmt/core.h>
#include <immintrin.h>

namespace octavo::emulator {
namespace {

// Rounds in which every warp only polled, before another cluster is taken in beside those waiting.
constexpr int kPollingRounds = 8;
// A launch in which nothing but polling happens for this long can never end.
constexpr std::int64_t kPollingLimit = 10'000'000'000;
// Rounds that clusters before a faulting one get to end or to fault themselves, once they only
// poll.
constexpr int kRoundsAfterFault = 64;
// Clusters that begin before the grid before has ended. On a GPU all that fit do.
constexpr std::size_t kEarlyClusters = 64;

std::int64_t now() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

}  // namespace

void Worker::run() { guarded(&Worker::run_all); }
void Worker::begin_early() { guarded(&Worker::run_early); }

void Worker::run_all() {
  do {
    while (!resident_.empty()) watch(advance_all());
  } while (take_in());
}

void Worker::run_early() {
  while (resident_.size() < kEarlyClusters && take_in()) {
  }
  for (int idle = 0; idle < kPollingRounds && !resident_.empty();) {
    idle = advance_all() ? idle + 1 : 0;
    if (now() > launch_.deadline) break;  // which run() will find, too
  }
}

void Worker::guarded(void (Worker::*body)()) {
  const unsigned mode = _mm_getcsr();
  _mm_setcsr(0x1F80);  // round to nearest, subnormals kept, no traps: whatever the caller had
  try {
    (this->*body)();
  } catch (const Fault& fault) {
    launch_.record(current_, fault);
  } catch (const std::exception& error) {
    launch_.record(current_, Fault(CUDA_ERROR_OUT_OF_MEMORY, error.what()));
  }
  _mm_setcsr(mode);
}

bool Worker::take_in() {
  if (launch_.first_fault.load() != kNoFault) return false;
  const std::uint64_t turn = launch_.next_turn.fetch_add(1);
  if (turn >= launch_.clusters()) return false;
  current_ = turn;
  auto resident = spare_ ? std::move(spare_) : std::make_unique<Resident>(launch_);
  resident->start(turn);
  resident_.push_back(std::move(resident));
  return true;
}

// Every warp of every resident cluster gets a turn. True if all of them only polled.
bool Worker::advance_all() {
  bool polling = true;
  for (std::size_t i = 0; i < resident_.size();) {
    Resident& resident = *resident_[i];
    Cluster& cluster = resident.cluster;
    current_ = cluster.turn;
    const bool advanced = run_round(cluster);
    polling = polling && !advanced;
    resident.polling_rounds = advanced ? 0 : resident.polling_rounds + 1;
    if (cluster.fault) launch_.record(cluster.turn, *cluster.fault);
    if (cluster.live_warps == 0 || given_up(resident)) {
      for (const Warp* warp : cluster.warps) launch_.warp_instructions += warp->instructions;
      spare_ = std::move(resident_[i]);
      resident_.erase(resident_.begin() + static_cast<std::ptrdiff_t>(i));
      polling = false;
    } else {
      ++i;
    }
  }
  return polling;
}

bool Worker::given_up(const Resident& resident) const {
  const std::uint64_t first = launch_.first_fault.load();
  return first <= resident.cluster.turn ||
         (first != kNoFault && resident.polling_rounds > kRoundsAfterFault);
}

// Takes in another cluster when those here only wait for one, and ends a launch that cannot end.
void Worker::watch(bool polling) {
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

void Worker::give_up(const char* why) {
  if (resident_.empty()) {
    // Blocks that end within their turn: the rest of the grid is what is given up.
    if (launch_.next_turn.load() >= launch_.clusters()) return;
    launch_.record(current_, Fault(CUDA_ERROR_LAUNCH_FAILED,
                                   fmt::format("kernel {}: {}", launch_.info->name, why)));
    return;
  }
  const Cluster& cluster = resident_[0]->cluster;
  launch_.record(cluster.turn, cluster_fault(cluster, why));
  resident_.clear();
}

}  // namespace octavo::emulator
