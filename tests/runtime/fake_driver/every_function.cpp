// Every function of the Driver API, weak: it counts the call and returns what the test wants.
#include "fake_driver.hpp"
#include "runtime/driver.hpp"

using namespace octavo;

extern "C" octavo::test::FakeDriver* octavo_fake_driver();

#define OCTAVO_DEFINE(name, symbol, parameters)                                        \
  extern "C" __attribute__((weak, visibility("default"))) CUresult symbol parameters { \
    return octavo_fake_driver()->called(#name);                                        \
  }
// NOLINTBEGIN(misc-unused-parameters): their names are the lists'.
OCTAVO_CUDA_FUNCTIONS(OCTAVO_DEFINE)
#ifndef OCTAVO_FAKE_EMULATOR
OCTAVO_GRAPH_FUNCTIONS(OCTAVO_DEFINE)
#endif
// NOLINTEND(misc-unused-parameters)
