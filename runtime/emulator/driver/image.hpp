// What cuModuleLoadData is given.
#pragma once

#include <string_view>

#include "device_model.hpp"

namespace octavo::emulator::driver {

struct Image {
  std::string_view ptx;
  int version = 0;  // of its .target: 90
};

// The PTX text of an image. Throws Fault: NO_BINARY_FOR_GPU for machine code, INVALID_IMAGE for
// what is neither, INVALID_PTX for a .target that this device does not run,
// UNSUPPORTED_PTX_VERSION.
Image read_image(const void* image, const DeviceModel& model);

}  // namespace octavo::emulator::driver
