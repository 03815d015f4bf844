// Memory by other calls than cuMemAlloc, and what an address is.
#include "driver/transfer.hpp"

namespace octavo::emulator::driver {
namespace {

// One pool, the device's; nothing in it is kept when it is freed.
CUmemoryPool default_pool() { return reinterpret_cast<CUmemoryPool>(std::uintptr_t{8}); }

CUresult get_pool(const char* function, CUmemoryPool* pool, CUdevice device) {
  return with_device(function, [&](const DeviceModel&) {
    require(pool != nullptr, "pool: expected a place for the result");
    Session::get().check_device(device);
    *pool = default_pool();
  });
}

template <typename Value>
void put(void* to, Value value) {
  *static_cast<Value*>(to) = value;
}

// Returns false for an address that is in no allocation.
bool put_attribute(const Context& context, void* to, CUpointer_attribute attribute,
                   CUdeviceptr address) {
  const Memory::Range range = context.memory.find(address);
  const bool known = range.begin != range.end;
  const bool host = context.is_host(address);
  switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT:
      put(to, known ? Session::get().current_handle() : nullptr);
      break;
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
      put(to,
          !known ? 0u : static_cast<unsigned>(host ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE));
      break;
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
      put(to, known ? address : 0);
      break;
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
      put(to, host ? reinterpret_cast<void*>(address) : nullptr);
      return host;
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
      put(to, 0u);
      break;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
      put(to, known ? 0 : -2);
      break;
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
      put(to, CUdeviceptr{range.begin});
      break;
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
      put(to, std::size_t{range.end - range.begin});
      break;
    case CU_POINTER_ATTRIBUTE_MAPPED:
      put(to, known ? 1u : 0u);
      break;
    default:
      throw Fault(CUDA_ERROR_NOT_SUPPORTED, fmt::format("pointer attribute {} is not supported",
                                                        static_cast<int>(attribute)));
  }
  return known;
}

}  // namespace
}  // namespace octavo::emulator::driver

using namespace octavo::emulator;
using namespace octavo::emulator::driver;

CUresult cuMemAllocPitch_v2(CUdeviceptr* address, std::size_t* pitch, std::size_t width,
                            std::size_t height, unsigned element) {
  return with_context("cuMemAllocPitch", [&](Context& context) {
    constexpr std::size_t kPitch = 512;
    require(address != nullptr && pitch != nullptr, "address, pitch: expected places for results");
    require(width > 0 && height > 0, "width, height: expected at least 1");
    require(element == 4 || element == 8 || element == 16, "element: expected 4, 8 or 16 bytes");
    require(width <= context.memory.capacity() && height <= context.memory.capacity() / width,
            "width, height: expected no more than fits");
    const std::size_t row = (width + kPitch - 1) / kPitch * kPitch;
    *address = context.memory.allocate(row * height);
    *pitch = row;
  });
}

// Device memory is the host's here, so that all of it is managed.
CUresult cuMemAllocManaged(CUdeviceptr* address, std::size_t bytes, unsigned flags) {
  return with_context(__func__, [&](Context& context) {
    constexpr unsigned kGlobal = 1, kHost = 2;
    require(address != nullptr, "address: expected a place for the result");
    require(bytes > 0, "bytes: expected at least 1");
    require(flags == kGlobal || flags == kHost, "flags: expected CU_MEM_ATTACH_GLOBAL or _HOST");
    *address = context.memory.allocate(bytes);
  });
}

CUresult cuMemAllocAsync(CUdeviceptr* address, std::size_t bytes, CUstream stream) {
  return with_context(__func__, [&](Context& context) {
    context.check_stream(stream);
    require(address != nullptr, "address: expected a place for the result");
    require(bytes > 0, "bytes: expected at least 1");
    *address = context.memory.allocate(bytes);
  });
}

CUresult cuMemFreeAsync(CUdeviceptr address, CUstream stream) {
  return run("cuMemFreeAsync", stream, [&](Context& context) { context.memory.release(address); });
}

CUresult cuMemHostAlloc(void** host, std::size_t bytes, unsigned flags) {
  return with_context(__func__, [&](Context& context) {
    constexpr unsigned kPortable = 1, kDeviceMap = 2, kWriteCombined = 4;
    require(host != nullptr, "host: expected a place for the result");
    require(bytes > 0, "bytes: expected at least 1");
    require((flags & ~(kPortable | kDeviceMap | kWriteCombined)) == 0,
            "flags: expected CU_MEMHOSTALLOC flags");
    *host = reinterpret_cast<void*>(context.allocate_host(bytes));
  });
}

CUresult cuMemAllocHost_v2(void** host, std::size_t bytes) {
  return cuMemHostAlloc(host, bytes, 0);
}

CUresult cuMemFreeHost(void* host) {
  return run("cuMemFreeHost", nullptr, [&](Context& context) {
    context.release_host(reinterpret_cast<std::uint64_t>(host));
  });
}

CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr* address, void* host, unsigned flags) {
  return with_context("cuMemHostGetDevicePointer", [&](Context& context) {
    require(address != nullptr, "address: expected a place for the result");
    require(flags == 0, "flags: expected 0");
    require(context.is_host(reinterpret_cast<std::uint64_t>(host)),
            "host: expected memory of cuMemAllocHost");
    *address = reinterpret_cast<std::uint64_t>(host);
  });
}

CUresult cuMemGetAddressRange_v2(CUdeviceptr* begin, std::size_t* bytes, CUdeviceptr address) {
  return with_context("cuMemGetAddressRange", [&](Context& context) {
    const Memory::Range range = context.memory.find(address);
    if (range.begin == range.end) {
      throw Fault(CUDA_ERROR_NOT_FOUND,
                  fmt::format("0x{:x} is {}", address, context.memory.describe(address, 1)));
    }
    if (begin != nullptr) *begin = range.begin;
    if (bytes != nullptr) *bytes = range.end - range.begin;
  });
}

CUresult cuPointerGetAttribute(void* value, CUpointer_attribute attribute, CUdeviceptr address) {
  return with_context(__func__, [&](Context& context) {
    require(value != nullptr, "value: expected a place for the result");
    require(put_attribute(context, value, attribute, address),
            "address: expected memory of the device or pinned");
  });
}

// Here an address in no allocation is no error: its attributes are zeros.
CUresult cuPointerGetAttributes(unsigned count, CUpointer_attribute* attributes, void** values,
                                CUdeviceptr address) {
  return with_context(__func__, [&](Context& context) {
    require(count > 0 && attributes != nullptr && values != nullptr,
            "attributes, values: expected attributes and places for them");
    for (unsigned i = 0; i < count; ++i) {
      require(values[i] != nullptr, "values: expected a place for each result");
      put_attribute(context, values[i], attributes[i], address);
    }
  });
}

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool* pool, CUdevice device) {
  return get_pool(__func__, pool, device);
}

CUresult cuDeviceGetMemPool(CUmemoryPool* pool, CUdevice device) {
  return get_pool(__func__, pool, device);
}

CUresult cuMemPoolTrimTo(CUmemoryPool pool, std::size_t) {
  return with_device(__func__, [&](const DeviceModel&) {
    require(pool == default_pool(), "pool: expected the device's");
  });
}
