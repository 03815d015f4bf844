// The orders in which asynchronous work completes and warps run.
#pragma once

#include <doctest/doctest.h>

#include <cstdlib>
#include <string>
#include <utility>

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

// A context, which calls of the driver need.
inline void use_device() {
  CUcontext context = nullptr;
  REQUIRE(cuInit(0) == CUDA_SUCCESS);
  REQUIRE(cuDevicePrimaryCtxRetain(&context, 0) == CUDA_SUCCESS);
  REQUIRE(cuCtxSetCurrent(context) == CUDA_SUCCESS);
}

}  // namespace octavo::emulator::test
