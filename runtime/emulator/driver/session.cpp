#include "driver/session.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "fault.hpp"

namespace octavo::emulator::driver {
namespace {

thread_local std::vector<CUcontext> stack_of_thread;

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

CUcontext Session::add_context() {
  const auto handle = reinterpret_cast<CUcontext>(next_handle());
  contexts_.emplace(handle, std::make_shared<Context>(*initialised()));
  return handle;
}

CUcontext Session::retain() {
  const std::lock_guard lock(mutex_);
  if (primary_ == nullptr) primary_ = add_context();
  ++retained_;
  return primary_;
}

void Session::release() {
  std::shared_ptr<Context> last;  // dies outside the lock
  const std::lock_guard lock(mutex_);
  if (retained_ == 0) {
    throw Fault(CUDA_ERROR_INVALID_CONTEXT, "the primary context is not retained");
  }
  if (--retained_ > 0) return;
  last = std::move(contexts_.extract(primary_).mapped());
  primary_ = nullptr;
}

bool Session::is_retained() const {
  const std::lock_guard lock(mutex_);
  return retained_ > 0;
}

CUcontext Session::create() {
  const std::lock_guard lock(mutex_);
  const CUcontext made = add_context();
  stack_of_thread.push_back(made);
  return made;
}

void Session::destroy(CUcontext context) {
  std::shared_ptr<Context> last;  // dies outside the lock
  const std::lock_guard lock(mutex_);
  check_live(context);
  if (context == primary_) {
    throw Fault(CUDA_ERROR_INVALID_CONTEXT, "the primary context is released, not destroyed");
  }
  last = std::move(contexts_.extract(context).mapped());
  if (!stack_of_thread.empty() && stack_of_thread.back() == context) stack_of_thread.pop_back();
}

void Session::check_live(CUcontext context) const {
  initialised();
  if (!contexts_.contains(context)) {
    throw Fault(CUDA_ERROR_INVALID_CONTEXT, "not a live context");
  }
}

std::shared_ptr<Context> Session::find(CUcontext context) const {
  const std::lock_guard lock(mutex_);
  check_live(context);
  return contexts_.at(context);
}

void Session::set_current(CUcontext context) {
  const std::lock_guard lock(mutex_);
  initialised();
  if (context != nullptr) check_live(context);
  if (!stack_of_thread.empty()) stack_of_thread.pop_back();
  if (context != nullptr) stack_of_thread.push_back(context);
}

void Session::push(CUcontext context) {
  const std::lock_guard lock(mutex_);
  check_live(context);
  stack_of_thread.push_back(context);
}

CUcontext Session::pop() {
  model();
  if (stack_of_thread.empty()) {
    throw Fault(CUDA_ERROR_INVALID_CONTEXT, "this thread has no current context");
  }
  const CUcontext top = stack_of_thread.back();
  stack_of_thread.pop_back();
  return top;
}

CUcontext Session::current_handle() const {
  return stack_of_thread.empty() ? nullptr : stack_of_thread.back();
}

std::shared_ptr<Context> Session::current() const {
  const std::lock_guard lock(mutex_);
  initialised();
  const CUcontext current = current_handle();
  if (current == nullptr) {
    throw Fault(CUDA_ERROR_INVALID_CONTEXT, "this thread has no current context");
  }
  const auto found = contexts_.find(current);
  if (found == contexts_.end()) {
    throw Fault(CUDA_ERROR_CONTEXT_IS_DESTROYED, "the current context was released");
  }
  return found->second;
}

}  // namespace octavo::emulator::driver
