#include "driver/context.hpp"

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

void Context::check_stream(CUstream stream) const {
  // The default stream's three names: null, CU_STREAM_LEGACY, CU_STREAM_PER_THREAD.
  constexpr std::uintptr_t kLastDefault = 2;
  if (reinterpret_cast<std::uintptr_t>(stream) > kLastDefault) streams.find(stream, "stream");
}

}  // namespace octavo::emulator::driver

using namespace octavo::emulator::driver;

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
