// The device that the tests of kernels run on.
#pragma once

#include <cstdlib>

#include "runtime/device.hpp"

namespace octavo::test {

// $OCTAVO_TEST_DEVICE, "cuda" for one; by default the emulator, standing for $OCTAVO_EMULATE.
inline const Device& device() {
  static const Device device = [] {
    const char* name = std::getenv("OCTAVO_TEST_DEVICE");
    return Device::open(name != nullptr ? name : "emulator");
  }();
  return device;
}

}  // namespace octavo::test
