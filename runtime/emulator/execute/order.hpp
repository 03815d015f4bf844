// In which order asynchronous work completes, and warps and blocks run. Sound kernels give the same
// bits under all of them; faults in a program's waits show under some.
#pragma once

#include <cstdint>

namespace octavo::emulator {

enum class Completion : std::uint8_t {
  eager,   // as it is issued
  latest,  // at the last moment that the program's own waits allow
  random,  // anywhere between, drawn from the seed
};

struct Order {
  Completion completion = Completion::latest;
  std::uint64_t completion_seed = 0;
  bool random_schedule = false;  // else every ready warp in turn
  std::uint64_t schedule_seed = 0;
  bool early_dependents = false;  // a grid that may begin before the one before has ended does
};

// What OCTAVO_ASYNC (eager, latest, random:SEED), OCTAVO_SCHEDULE (round-robin, random:SEED) and
// OCTAVO_DEPENDENTS (late, early) say, the defaults if unset. Throws Fault INVALID_VALUE for
// anything else.
Order order_from_environment();

// SplitMix64 (Steele, Lea and Flood, 2014): a block draws from its own, seeded by the order's seed
// and its number, so that what it draws does not depend on the other blocks or on host threads.
class Random {
 public:
  explicit Random(std::uint64_t seed = 0, std::uint64_t stream = 0)
      : state_(seed + stream * 0xD1342543DE82EF95ull) {}
  std::uint64_t operator()() {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15ull);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  }
  std::uint64_t below(std::uint64_t bound) { return (*this)() % bound; }

 private:
  std::uint64_t state_;
};

}  // namespace octavo::emulator
