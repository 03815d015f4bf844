// The orders in which asynchronous work completes and warps run.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <string>
#include <vector>

#include "cuda_abi.h"
#include "driver/api.hpp"
#include "harness.hpp"

namespace octavo::emulator::test {

struct Orders {
  const char* async;
  const char* schedule;
};
inline constexpr Orders kOrders[] = {{"latest", "round-robin"}, {"eager", "round-robin"},
                                     {"random:1", "random:1"},  {"random:2", "random:2"},
                                     {"random:3", "random:3"},  {"random:4", "random:4"},
                                     {"latest", "random:5"},    {"eager", "random:6"}};

// Sets the environment that launches read, and clears it again.
class InOrder {
 public:
  explicit InOrder(const Orders& orders) {
    setenv("OCTAVO_ASYNC", orders.async, 1);
    setenv("OCTAVO_SCHEDULE", orders.schedule, 1);
  }
  ~InOrder() {
    unsetenv("OCTAVO_ASYNC");
    unsetenv("OCTAVO_SCHEDULE");
  }
  InOrder(const InOrder&) = delete;
  InOrder& operator=(const InOrder&) = delete;
};

// What a kernel of two warps made of the numbers 1 to 256 (p0) at p1, or how it faulted.
struct Run {
  std::string fault;
  std::vector<std::uint32_t> values;
};

inline Run run_warps(const std::string& body, const Orders& orders) {
  const InOrder in_order(orders);
  Machine machine(module_of(body));
  std::vector<std::uint32_t> source(256);
  std::iota(source.begin(), source.end(), 1u);
  const std::uint64_t to = machine.allocate(1024);
  try {
    machine.launch({}, {64, 1, 1}, {machine.upload(source), to});
  } catch (const Fault& fault) {
    return {fault.what(), {}};
  }
  return {"", machine.download<std::uint32_t>(to, 256)};
}

// A context, which calls of the driver need.
inline void use_device() {
  CUcontext context = nullptr;
  REQUIRE(cuInit(0) == CUDA_SUCCESS);
  REQUIRE(cuDevicePrimaryCtxRetain(&context, 0) == CUDA_SUCCESS);
  REQUIRE(cuCtxSetCurrent(context) == CUDA_SUCCESS);
}

}  // namespace octavo::emulator::test
