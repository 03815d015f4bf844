// A GPU, real or emulated, through the CUDA Driver API; and RAII for what lives on it.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "generator/architecture.hpp"
#include "runtime/binary.hpp"
#include "runtime/emulator/cuda_abi.h"
#include "runtime/error.hpp"

namespace octavo {

struct Driver;  // the Driver API's functions by name (runtime/driver.hpp)

class Device {
 public:
  // "auto": the first GPU, or the emulator where there is no driver or no GPU. "cuda", "cuda:1": that
  // GPU. "emulator", "emulator:h100": the emulator standing for that GPU ($OCTAVO_EMULATE, h100 by
  // default). The primary context becomes current in the calling thread. Throws EnvironmentError
  // that says what was searched, UsageError for a name of another form.
  static Device open(std::string_view name = "auto");

  const std::string& name() const;          // "NVIDIA H100 80GB HBM3"
  bool emulated() const;
  int compute_capability() const;           // 90
  const Architecture& architecture() const; // what kernels are compiled for
  int multiprocessors() const;
  const Driver& driver() const;
  void make_current() const;                // in the calling thread
  void synchronize() const;                 // waits for all work; throws what it failed with

 private:
  struct State;
  explicit Device(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

// Device memory, freed at the end.
class Buffer {
 public:
  Buffer() = default;
  Buffer(const Device& device, std::size_t bytes);
  CUdeviceptr address() const;  // 0 when empty
  std::size_t bytes() const;
  void upload(const void* from, std::size_t bytes, std::size_t offset = 0);
  void download(void* to, std::size_t bytes, std::size_t offset = 0) const;
  void fill(unsigned char value);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

class Stream {
 public:
  explicit Stream(const Device& device);
  CUstream handle() const;
  void synchronize() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

class Event {
 public:
  explicit Event(const Device& device);
  void record(CUstream stream);
  // Milliseconds from `start` to this event; waits for both.
  float milliseconds_since(const Event& start) const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace octavo
