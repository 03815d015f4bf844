#include "driver/session.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <string>

#include "fault.hpp"

namespace octavo::emulator::driver {
namespace {

thread_local CUcontext current_of_thread = nullptr;

}  // namespace

Session& Session::get() {
  // Never destroyed: a program may call the driver from its own exit handlers.
  static Session& session = *new Session;
  return session;
}

void Session::initialise() {
  const std::lock_guard lock(mutex_);
  if (model_ != nullptr) return;
  const char* wanted = std::getenv("OCTAVO_EMULATE");
  const std::string_view id = wanted == nullptr || *wanted == '\0' ? "h100" : wanted;
  model_ = find_device_model(id);
  if (model_ != nullptr) return;
  std::string choices;
  for (const DeviceModel& model : device_models()) {
    choices += fmt::format("{}{}", choices.empty() ? "" : ", ", model.id);
  }
  throw Fault(CUDA_ERROR_NO_DEVICE,
              fmt::format("OCTAVO_EMULATE={}: expected one of {}", id, choices));
}

const DeviceModel* Session::initialised() const {
  if (model_ == nullptr) throw Fault(CUDA_ERROR_NOT_INITIALIZED, "cuInit was not called");
  return model_;
}

const DeviceModel& Session::model() const {
  const std::lock_guard lock(mutex_);
  return *initialised();
}

void Session::check_device(CUdevice device) const {
  model();
  if (device != 0) {
    throw Fault(CUDA_ERROR_INVALID_DEVICE, fmt::format("device {}: the only one is 0", device));
  }
}

CUcontext Session::retain() {
  const std::lock_guard lock(mutex_);
  if (primary_ == nullptr) {
    primary_ = std::make_shared<Context>(*initialised());
    primary_handle_ = reinterpret_cast<CUcontext>(next_handle());
  }
  ++retained_;
  return primary_handle_;
}

void Session::release() {
  std::shared_ptr<Context> last;  // dies outside the lock
  const std::lock_guard lock(mutex_);
  if (retained_ == 0) {
    throw Fault(CUDA_ERROR_INVALID_CONTEXT, "the primary context is not retained");
  }
  if (--retained_ == 0) last = std::move(primary_);
}

void Session::set_current(CUcontext context) {
  const std::lock_guard lock(mutex_);
  initialised();
  if (context != nullptr && (primary_ == nullptr || context != primary_handle_)) {
    throw Fault(CUDA_ERROR_INVALID_CONTEXT, "not a live context");
  }
  current_of_thread = context;
}

CUcontext Session::current_handle() const { return current_of_thread; }

std::shared_ptr<Context> Session::current() const {
  const std::lock_guard lock(mutex_);
  initialised();
  if (current_of_thread == nullptr) {
    throw Fault(CUDA_ERROR_INVALID_CONTEXT, "this thread has no current context");
  }
  if (primary_ == nullptr || current_of_thread != primary_handle_) {
    throw Fault(CUDA_ERROR_CONTEXT_IS_DESTROYED, "the current context was released");
  }
  return primary_;
}

}  // namespace octavo::emulator::driver
