// The driver in one process: which GPU it stands for, and its primary context.
#pragma once

#include <memory>
#include <mutex>

#include "device_model.hpp"
#include "driver/context.hpp"

namespace octavo::emulator::driver {

class Session {
 public:
  static Session& get();

  // Chooses the GPU by OCTAVO_EMULATE, h100 by default; once it is chosen it stays. Throws Fault
  // NO_DEVICE, naming the choices, for one that does not exist.
  void initialise();

  const DeviceModel& model() const;          // throws Fault NOT_INITIALIZED before initialise()
  void check_device(CUdevice device) const;  // throws Fault unless it is device 0

  // The primary context lives from the first retain to the release that matches it.
  CUcontext retain();
  void release();

  // What is current is the calling thread's own. A context that died leaves its handle behind.
  void set_current(CUcontext context);
  CUcontext current_handle() const;
  std::shared_ptr<Context> current() const;  // throws Fault if none, or dead

 private:
  const DeviceModel* initialised() const;

  mutable std::mutex mutex_;
  const DeviceModel* model_ = nullptr;
  std::shared_ptr<Context> primary_;
  CUcontext primary_handle_ = nullptr;
  int retained_ = 0;
};

}  // namespace octavo::emulator::driver
