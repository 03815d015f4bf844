// Copies and fills: what may be touched, and in which order.
#pragma once

#include "driver/api.hpp"

namespace octavo::emulator::driver {

// Throws unless these bytes are inside one allocation.
std::byte* device_bytes(const Context& context, CUdeviceptr address, std::size_t bytes,
                        const char* which);

// Throws for a null pointer and for device memory; pinned host memory is the host's.
void check_host(const Context& context, const void* host, const char* which);

// An address of either: device memory is checked, the rest is the host's own.
std::byte* any_bytes(const Context& context, CUdeviceptr address, std::size_t bytes,
                     const char* which);

// Runs work in order with all other work of the context.
template <typename Work>
CUresult run(const char* function, CUstream stream, Work&& work) {
  return with_context(function, [&](Context& context) {
    context.check_stream(stream);
    const std::lock_guard lock(context.running);
    work(context);
  });
}

}  // namespace octavo::emulator::driver
