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

 private:
  bool take_in();
  void round();
  bool given_up(const Resident& resident) const;
  void watch(bool polling);
  void give_up(const char* why);

  Launch& launch_;
  std::vector<std::unique_ptr<Resident>> resident_;
  std::unique_ptr<Resident> spare_;
  std::uint64_t current_ = 0;  // turn of the cluster that is run
  int polling_rounds_ = 0;
};

}  // namespace octavo::emulator
