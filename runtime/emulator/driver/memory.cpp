// Allocation, copies and fills. Each runs at once: a stream only has to exist.
#include <algorithm>
#include <cstring>

#include "driver/transfer.hpp"

namespace octavo::emulator::driver {
std::byte* device_bytes(const Context& context, CUdeviceptr address, std::size_t bytes,
                        const char* which) {
  if (!context.memory.find(address).contains(address, bytes)) {
    throw Fault(CUDA_ERROR_INVALID_VALUE,
                fmt::format("{}: {} bytes at 0x{:x}: expected device memory, this is {}", which,
                            bytes, address, context.memory.describe(address, bytes)));
  }
  return reinterpret_cast<std::byte*>(address);
}

void check_host(const Context& context, const void* host, const char* which) {
  const auto address = reinterpret_cast<std::uint64_t>(host);
  const bool device =
      context.memory.find(address).contains(address, 1) && !context.is_host(address);
  if (host == nullptr || device) {
    throw Fault(CUDA_ERROR_INVALID_VALUE, fmt::format("{}: expected host memory, this is {}", which,
                                                      device ? "device memory" : "a null pointer"));
  }
}

std::byte* any_bytes(const Context& context, CUdeviceptr address, std::size_t bytes,
                     const char* which) {
  if (context.memory.find(address).contains(address, 1)) {
    return device_bytes(context, address, bytes, which);
  }
  auto* host = reinterpret_cast<std::byte*>(address);
  check_host(context, host, which);
  return host;
}

namespace {

void host_to_device(Context& context, CUdeviceptr to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  check_host(context, from, "from");
  std::memcpy(device_bytes(context, to, bytes, "to"), from, bytes);
}

void device_to_host(Context& context, void* to, CUdeviceptr from, std::size_t bytes) {
  if (bytes == 0) return;
  check_host(context, to, "to");
  std::memcpy(to, device_bytes(context, from, bytes, "from"), bytes);
}

void device_to_device(Context& context, CUdeviceptr to, CUdeviceptr from, std::size_t bytes) {
  if (bytes == 0) return;
  std::byte* target = device_bytes(context, to, bytes, "to");
  const std::byte* source = device_bytes(context, from, bytes, "from");
  const bool overlap = to < from + bytes && from < to + bytes;
  require(!overlap, "from and to: expected memory that does not overlap");
  std::memcpy(target, source, bytes);
}

template <typename Value>
void fill(Context& context, CUdeviceptr to, Value value, std::size_t count) {
  if (count == 0) return;
  require(to % sizeof(Value) == 0, "to: expected an address aligned to the value");
  require(count <= context.memory.capacity() / sizeof(Value), "count: expected no more than fits");
  device_bytes(context, to, count * sizeof(Value), "to");
  std::fill_n(reinterpret_cast<Value*>(to), count, value);
}

}  // namespace
}  // namespace octavo::emulator::driver

using namespace octavo::emulator::driver;

CUresult cuMemGetInfo_v2(std::size_t* free, std::size_t* total) {
  return with_context("cuMemGetInfo", [&](Context& context) {
    require(free != nullptr && total != nullptr, "free, total: expected places for the results");
    *total = context.memory.capacity();
    *free = context.memory.capacity() - context.memory.used();
  });
}

CUresult cuMemAlloc_v2(CUdeviceptr* address, std::size_t bytes) {
  return with_context("cuMemAlloc", [&](Context& context) {
    require(address != nullptr, "address: expected a place for the result");
    require(bytes > 0, "bytes: expected at least 1");
    *address = context.memory.allocate(bytes);
  });
}

CUresult cuMemFree_v2(CUdeviceptr address) {
  return run("cuMemFree", nullptr, [&](Context& context) {
    if (address != 0) context.memory.release(address);
  });
}

CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void* from, std::size_t bytes) {
  return run("cuMemcpyHtoD", nullptr,
             [&](Context& context) { host_to_device(context, to, from, bytes); });
}

CUresult cuMemcpyDtoH_v2(void* to, CUdeviceptr from, std::size_t bytes) {
  return run("cuMemcpyDtoH", nullptr,
             [&](Context& context) { device_to_host(context, to, from, bytes); });
}

CUresult cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, std::size_t bytes) {
  return run("cuMemcpyDtoD", nullptr,
             [&](Context& context) { device_to_device(context, to, from, bytes); });
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, std::size_t bytes,
                              CUstream stream) {
  return run("cuMemcpyHtoDAsync", stream,
             [&](Context& context) { host_to_device(context, to, from, bytes); });
}

CUresult cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, std::size_t bytes, CUstream stream) {
  return run("cuMemcpyDtoHAsync", stream,
             [&](Context& context) { device_to_host(context, to, from, bytes); });
}

CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, std::size_t bytes,
                              CUstream stream) {
  return run("cuMemcpyDtoDAsync", stream,
             [&](Context& context) { device_to_device(context, to, from, bytes); });
}

CUresult cuMemsetD8_v2(CUdeviceptr to, unsigned char value, std::size_t count) {
  return run("cuMemsetD8", nullptr, [&](Context& context) { fill(context, to, value, count); });
}

CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, std::size_t count, CUstream stream) {
  return run("cuMemsetD8Async", stream, [&](Context& context) { fill(context, to, value, count); });
}

CUresult cuMemsetD32_v2(CUdeviceptr to, unsigned value, std::size_t count) {
  return run("cuMemsetD32", nullptr, [&](Context& context) { fill(context, to, value, count); });
}

CUresult cuMemsetD32Async(CUdeviceptr to, unsigned value, std::size_t count, CUstream stream) {
  return run("cuMemsetD32Async", stream,
             [&](Context& context) { fill(context, to, value, count); });
}

CUresult cuMemsetD16_v2(CUdeviceptr to, unsigned short value, std::size_t count) {
  return run("cuMemsetD16", nullptr, [&](Context& context) { fill(context, to, value, count); });
}

CUresult cuMemsetD16Async(CUdeviceptr to, unsigned short value, std::size_t count,
                          CUstream stream) {
  return run("cuMemsetD16Async", stream,
             [&](Context& context) { fill(context, to, value, count); });
}

CUresult cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, std::size_t bytes, CUstream stream) {
  return run("cuMemcpy", stream, [&](Context& context) {
    if (bytes == 0) return;
    std::byte* target = any_bytes(context, to, bytes, "to");
    std::memmove(target, any_bytes(context, from, bytes, "from"), bytes);
  });
}

CUresult cuMemcpy(CUdeviceptr to, CUdeviceptr from, std::size_t bytes) {
  return cuMemcpyAsync(to, from, bytes, nullptr);
}
