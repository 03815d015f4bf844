// What a host thread runs: the clusters it has taken in, in turn.
#pragma once

#include <memory>
#include <vector>

#include "execute/resident.hpp"

namespace octavo::emulator {

class Worker {
 public:
  explicit Worker(Launch& launch) : launch_(launch) {}

  // Until no cluster of the launch is left to take in; what goes wrong is recorded in the launch.
  void run();

  // As many clusters as may be resident while the grid before still runs, until all that is left of
  // them waits for its end. run() goes on with them.
  void begin_early();

 private:
  bool take_in();
  void guarded(void (Worker::*body)());
  void run_all();
  void run_early();
  bool advance_all();
  bool given_up(const Resident& resident) const;
  void watch(bool polling);
  void give_up(const char* why);

  Launch& launch_;
  std::vector<std::unique_ptr<Resident>> resident_;
  std::unique_ptr<Resident> spare_;
  std::uint64_t current_ = 0;  // turn of the cluster that is run
  int polling_rounds_ = 0;
};

// Draws the order in which the launch's clusters are taken in: before any is.
void shuffle_turns(Launch& launch);

// Runs the launch's grid, of which `first` may have begun some, on `threads` host threads; the
// fault, if any, is then in the launch.
void run_grid(Launch& launch, Worker& first, unsigned threads);

}  // namespace octavo::emulator
