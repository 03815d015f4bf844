#include "driver/context.hpp"

#include <utility>

#include "driver/api.hpp"

namespace octavo::emulator::driver {

std::uintptr_t next_handle() {
  // Above the values that the API reserves for its default streams, and no valid address of a host.
  constexpr std::uintptr_t kFirst = 0x1000, kStep = 16;
  static std::atomic<std::uintptr_t> next = kFirst;
  return next.fetch_add(kStep);
}

void Context::check() const {
  const std::lock_guard lock(mutex_);
  if (!fault_) return;
  throw Fault(fault_->code(), fmt::format("an earlier launch failed: {}", fault_->what()));
}

void Context::fail_for_good(const Fault& fault) {
  const std::lock_guard lock(mutex_);
  if (!fault_) fault_ = fault;
}

namespace {

// Whether the fault is the device's, which ends the context; else the launch was refused.
bool ends_context(CUresult code) {
  return code >= CUDA_ERROR_ILLEGAL_ADDRESS && code != CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES &&
         code != CUDA_ERROR_NOT_SUPPORTED && code != CUDA_ERROR_INVALID_CLUSTER_SIZE;
}

}  // namespace

std::uint64_t Context::finish(GridRun& run) {
  try {
    return run.finish();
  } catch (const Fault& fault) {
    if (ends_context(fault.code())) fail_for_good(fault);
    throw;
  }
}

void Context::hold(HeldLaunch launch) {
  held.push_back(std::move(launch));
  holds = true;
}

void Context::end_held() {
  while (!held.empty()) {
    const HeldLaunch launch = std::move(held.front());
    held.pop_front();
    holds = !held.empty();
    finish(*launch.run);
  }
}

void Context::settle() {
  if (!holds) return;
  const std::lock_guard lock(running);
  end_held();
}

void Context::check_stream(CUstream stream) const {
  if (reinterpret_cast<std::uintptr_t>(stream) > kLastDefault) streams.find(stream, "stream");
}

std::uint64_t Context::allocate_host(std::size_t bytes) {
  const std::uint64_t address = memory.allocate(bytes);
  const std::lock_guard lock(mutex_);
  host_.insert(address);
  return address;
}

void Context::release_host(std::uint64_t address) {
  {
    const std::lock_guard lock(mutex_);
    if (host_.erase(address) == 0) {
      throw Fault(CUDA_ERROR_INVALID_VALUE, "host: expected memory of cuMemAllocHost");
    }
  }
  memory.release(address);
}

bool Context::is_host(std::uint64_t address) const {
  const Memory::Range range = memory.find(address);
  const std::lock_guard lock(mutex_);
  return range.begin != range.end && host_.contains(range.begin);
}

}  // namespace octavo::emulator::driver

using namespace octavo::emulator;
using namespace octavo::emulator::driver;

namespace {

constexpr unsigned kContextFlags = 0x1FF;  // scheduling, mapped host memory, core dumps and so on

CUresult create_context(CUcontext* context, unsigned flags, CUdevice device) {
  return guarded("cuCtxCreate", [&] {
    Session::get().check_device(device);
    require(context != nullptr, "context: expected a place for the result");
    require((flags & ~kContextFlags) == 0, "flags: expected CU_CTX flags");
    *context = Session::get().create();
  });
}

}  // namespace

CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
  return guarded(__func__, [&] {
    Session::get().check_device(device);
    require(context != nullptr, "context: expected a place for the result");
    *context = Session::get().retain();
  });
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  return guarded("cuDevicePrimaryCtxRelease", [&] {
    Session::get().check_device(device);
    Session::get().release();
  });
}

CUresult cuCtxSetCurrent(CUcontext context) {
  return guarded(__func__, [&] { Session::get().set_current(context); });
}

CUresult cuCtxGetCurrent(CUcontext* context) {
  return guarded(__func__, [&] {
    Session::get().model();
    require(context != nullptr, "context: expected a place for the result");
    *context = Session::get().current_handle();
  });
}

CUresult cuCtxSynchronize() {
  return with_context(__func__, [](Context& context) {
    const std::lock_guard lock(context.running);
    context.check();
  });
}

CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned* flags, int* active) {
  return guarded(__func__, [&] {
    Session::get().check_device(device);
    require(flags != nullptr && active != nullptr,
            "flags, active: expected places for the results");
    *flags = 0;
    *active = Session::get().is_retained() ? 1 : 0;
  });
}

CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice device, unsigned flags) {
  return guarded("cuDevicePrimaryCtxSetFlags", [&] {
    Session::get().check_device(device);
    require((flags & ~kContextFlags) == 0, "flags: expected CU_CTX flags");
  });
}

CUresult cuCtxCreate_v2(CUcontext* context, unsigned flags, CUdevice device) {
  return create_context(context, flags, device);
}

CUresult cuCtxCreate_v3(CUcontext* context, void* affinity, int count, unsigned flags,
                        CUdevice device) {
  if (affinity != nullptr || count != 0) {
    return failed("cuCtxCreate", CUDA_ERROR_NOT_SUPPORTED, "affinity: expected none");
  }
  return create_context(context, flags, device);
}

CUresult cuCtxCreate_v4(CUcontext* context, void* params, unsigned flags, CUdevice device) {
  if (params != nullptr) {
    return failed("cuCtxCreate", CUDA_ERROR_NOT_SUPPORTED, "params: expected none");
  }
  return create_context(context, flags, device);
}

CUresult cuCtxDestroy_v2(CUcontext context) {
  return guarded("cuCtxDestroy", [&] { Session::get().destroy(context); });
}

CUresult cuCtxPushCurrent_v2(CUcontext context) {
  return guarded("cuCtxPushCurrent", [&] { Session::get().push(context); });
}

CUresult cuCtxPopCurrent_v2(CUcontext* context) {
  return guarded("cuCtxPopCurrent", [&] {
    const CUcontext top = Session::get().pop();
    if (context != nullptr) *context = top;
  });
}

CUresult cuCtxGetDevice(CUdevice* device) {
  return with_context(__func__, [&](Context&) {
    require(device != nullptr, "device: expected a place for the result");
    *device = 0;
  });
}

CUresult cuCtxGetFlags(unsigned* flags) {
  return with_context(__func__, [&](Context&) {
    require(flags != nullptr, "flags: expected a place for the result");
    *flags = 0;
  });
}

CUresult cuCtxGetApiVersion(CUcontext context, unsigned* version) {
  return guarded(__func__, [&] {
    if (context == nullptr) {
      Session::get().current();
    } else {
      Session::get().find(context);
    }
    require(version != nullptr, "version: expected a place for the result");
    *version = 3020;
  });
}

CUresult cuCtxGetStreamPriorityRange(int* least, int* greatest) {
  return with_context(__func__, [&](Context&) {
    if (least != nullptr) *least = kLeastPriority;
    if (greatest != nullptr) *greatest = kGreatestPriority;
  });
}
