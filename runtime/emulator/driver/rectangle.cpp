// Copies and fills of rectangles: rows of bytes, a pitch apart.
#include <cstring>

#include "driver/transfer.hpp"

namespace octavo::emulator::driver {
namespace {

struct Side {
  std::size_t x, y, pitch;
  CUmemorytype type;
  const void* host;
  CUdeviceptr device;
  const char* name;
};

// Where the side's first byte is. Throws unless its whole rectangle may be used.
std::byte* first_byte(const Context& context, const Side& side, std::size_t width,
                      std::size_t height) {
  const std::size_t pitch = side.pitch == 0 ? width : side.pitch;
  const std::size_t most = context.memory.capacity();
  if (pitch < width || side.x > pitch - width || pitch > most || side.y > most / pitch ||
      height > most / pitch) {
    throw Fault(CUDA_ERROR_INVALID_VALUE,
                fmt::format("{}: expected rows that fit their pitch", side.name));
  }
  const std::size_t offset = side.y * pitch + side.x, bytes = (height - 1) * pitch + width;
  switch (side.type) {
    case CU_MEMORYTYPE_HOST:
      check_host(context, side.host, side.name);
      return static_cast<std::byte*>(const_cast<void*>(side.host)) + offset;
    case CU_MEMORYTYPE_DEVICE:
      return device_bytes(context, side.device + offset, bytes, side.name);
    case CU_MEMORYTYPE_UNIFIED:
      return any_bytes(context, side.device + offset, bytes, side.name);
    default:
      throw Fault(CUDA_ERROR_NOT_SUPPORTED, fmt::format("{}: arrays are not supported", side.name));
  }
}

CUresult copy(const char* function, const CUDA_MEMCPY2D* what, CUstream stream) {
  return run(function, stream, [&](Context& context) {
    require(what != nullptr, "copy: expected a description");
    const std::size_t width = what->WidthInBytes, height = what->Height;
    if (width == 0 || height == 0) return;
    const Side from{what->srcXInBytes, what->srcY,      what->srcPitch, what->srcMemoryType,
                    what->srcHost,     what->srcDevice, "source"};
    const Side to{what->dstXInBytes, what->dstY,      what->dstPitch, what->dstMemoryType,
                  what->dstHost,     what->dstDevice, "destination"};
    const std::byte* source = first_byte(context, from, width, height);
    std::byte* target = first_byte(context, to, width, height);
    for (std::size_t row = 0; row < height; ++row) {
      std::memmove(target + row * (to.pitch == 0 ? width : to.pitch),
                   source + row * (from.pitch == 0 ? width : from.pitch), width);
    }
  });
}

template <typename Value>
CUresult fill(const char* function, CUdeviceptr to, std::size_t pitch, Value value,
              std::size_t width, std::size_t height) {
  return run(function, nullptr, [&](Context& context) {
    if (width == 0 || height == 0) return;
    require(width <= context.memory.capacity() / sizeof value, "width: expected less");
    require(to % sizeof value == 0 && pitch % sizeof value == 0,
            "to, pitch: expected multiples of the value's size");
    const Side side{0, 0, pitch, CU_MEMORYTYPE_DEVICE, nullptr, to, "to"};
    std::byte* row = first_byte(context, side, width * sizeof value, height);
    for (std::size_t y = 0; y < height; ++y) {
      for (std::size_t x = 0; x < width; ++x) {
        std::memcpy(row + y * pitch + x * sizeof value, &value, sizeof value);
      }
    }
  });
}

}  // namespace
}  // namespace octavo::emulator::driver

using namespace octavo::emulator::driver;

CUresult cuMemcpy2D_v2(const CUDA_MEMCPY2D* what) { return copy("cuMemcpy2D", what, nullptr); }

CUresult cuMemcpy2DUnaligned_v2(const CUDA_MEMCPY2D* what) {
  return copy("cuMemcpy2DUnaligned", what, nullptr);
}

CUresult cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D* what, CUstream stream) {
  return copy("cuMemcpy2DAsync", what, stream);
}

CUresult cuMemsetD2D8_v2(CUdeviceptr to, std::size_t pitch, unsigned char value, std::size_t width,
                         std::size_t height) {
  return fill("cuMemsetD2D8", to, pitch, value, width, height);
}

CUresult cuMemsetD2D16_v2(CUdeviceptr to, std::size_t pitch, unsigned short value,
                          std::size_t width, std::size_t height) {
  return fill("cuMemsetD2D16", to, pitch, value, width, height);
}

CUresult cuMemsetD2D32_v2(CUdeviceptr to, std::size_t pitch, unsigned value, std::size_t width,
                          std::size_t height) {
  return fill("cuMemsetD2D32", to, pitch, value, width, height);
}
