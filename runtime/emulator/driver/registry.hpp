// Handles that are given out and taken back. A handle is a number, not an address: one that was
// never given out, or was taken back, is found out and nothing behind it is touched. Numbers are
// not reused.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "fault.hpp"

namespace octavo::emulator::driver {

std::uintptr_t next_handle();  // of the process, so that handles of different kinds differ too

template <typename Handle, typename Object>
class Registry {
 public:
  Handle add(std::shared_ptr<Object> object) {
    const Handle handle = reinterpret_cast<Handle>(next_handle());
    const std::lock_guard lock(mutex_);
    objects_.emplace(handle, std::move(object));
    return handle;
  }

  // Throws Fault INVALID_HANDLE for what is not a live handle of this kind.
  std::shared_ptr<Object> find(Handle handle, const char* kind) const {
    const std::lock_guard lock(mutex_);
    const auto found = objects_.find(handle);
    if (found == objects_.end()) fail(kind);
    return found->second;
  }

  std::shared_ptr<Object> remove(Handle handle, const char* kind) {
    const std::lock_guard lock(mutex_);
    const auto found = objects_.find(handle);
    if (found == objects_.end()) fail(kind);
    std::shared_ptr<Object> object = std::move(found->second);
    objects_.erase(found);
    return object;
  }

 private:
  [[noreturn]] static void fail(const char* kind) {
    throw Fault(CUDA_ERROR_INVALID_HANDLE,
                std::string("not a live ") + kind + " of this context: destroyed, or never made");
  }

  mutable std::mutex mutex_;
  std::unordered_map<Handle, std::shared_ptr<Object>> objects_;
};

}  // namespace octavo::emulator::driver
