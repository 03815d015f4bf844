// A context: the memory, modules, streams and events of the emulated device, and its first fault.
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "device_model.hpp"
#include "driver/registry.hpp"
#include "execute/program.hpp"
#include "memory/memory.hpp"

namespace octavo::emulator::driver {

// Work runs when it is enqueued, so a stream keeps nothing: it is only there or not.
struct Stream {};

struct Event {
  bool timed = true;
  std::mutex mutex;
  std::optional<std::chrono::steady_clock::time_point> recorded;
};

struct Module {
  std::unique_ptr<Program> program;
  int ptx_version = 0;  // of its .target: 90
  std::mutex mutex;
  std::map<std::string, CUfunction, std::less<>> functions;  // handles given out
};

struct Function {
  std::shared_ptr<Module> module;
  const KernelInfo* info = nullptr;
  std::atomic<int> most_dynamic_shared = 0;  // bytes
};

class Context {
 public:
  explicit Context(const DeviceModel& device) : model(device), memory(device.memory_bytes) {}

  // Throws what an earlier launch failed with: as on a GPU, nothing works in a context after that.
  void check() const;
  void fail_for_good(const Fault& fault);

  // Throws unless it is the default stream or a live one.
  void check_stream(CUstream stream) const;

  const DeviceModel& model;
  Memory memory;       // outlives the programs below
  std::mutex running;  // held while device work runs or memory is freed: one thing at a time
  Registry<CUmodule, Module> modules;
  Registry<CUfunction, Function> functions;
  Registry<CUstream, Stream> streams;
  Registry<CUevent, Event> events;

 private:
  mutable std::mutex mutex_;
  std::optional<Fault> fault_;
};

}  // namespace octavo::emulator::driver
