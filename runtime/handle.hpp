// RAII for one handle of the Driver API. Private to the runtime.
#pragma once

#include "runtime/device.hpp"
#include "runtime/driver.hpp"

namespace octavo {

// Keeps the device alive, and with it the context that the handle belongs to.
template <typename Value, CUresult (*Driver::*Destroy)(Value)>
class Handle {
 public:
  // `make` is given the driver and where to put the handle, and throws if it fails.
  template <typename Make>
  Handle(const Device& device, Make make) : device_(device) {
    make(current(), &value_);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  // The driver's results are dropped: a destructor cannot throw, and what fails here is an error of
  // earlier work, which every later call reports as well.
  ~Handle() {
    try {
      static_cast<void>((current().*Destroy)(value_));
    } catch (const EnvironmentError&) {  // NOLINT(bugprone-empty-catch)
    }
  }

  Value value() const { return value_; }
  const Device& device() const { return device_; }

  // The driver, with the device's context current in the calling thread.
  const Driver& current() const {
    device_.make_current();
    return device_.driver();
  }

 private:
  Device device_;
  Value value_ = {};
};

}  // namespace octavo
