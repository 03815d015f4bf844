// The driver in one process: which GPU it stands for, and its contexts.
#pragma once

#include <map>
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
  bool is_retained() const;

  // Those that a program makes live until it destroys them.
  CUcontext create();
  void destroy(CUcontext context);
  std::shared_ptr<Context> find(CUcontext context) const;  // throws Fault unless it is live

  // What is current is the top of the calling thread's own stack. A context that died leaves its
  // handle behind.
  void set_current(CUcontext context);  // in place of the top; nullptr only takes that away
  void push(CUcontext context);
  CUcontext pop();
  CUcontext current_handle() const;
  std::shared_ptr<Context> current() const;  // throws Fault if none, or dead

 private:
  const DeviceModel* initialised() const;
  CUcontext add_context();
  void check_live(CUcontext context) const;

  mutable std::mutex mutex_;
  const DeviceModel* model_ = nullptr;
  std::map<CUcontext, std::shared_ptr<Context>> contexts_;
  CUcontext primary_ = nullptr;  // while it is retained
  int retained_ = 0;
};

}  // namespace octavo::emulator::driver
