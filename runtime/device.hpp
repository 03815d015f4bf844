// A GPU, real or emulated, through the CUDA Driver API; and RAII for what lives on it.
//
// Every operation makes its device's context current in the calling thread and leaves it so.
// Objects are handles: copies share what they stand for, and it lives as long as any of them. Every
// operation may be called from any thread; what a call does to the memory is ordered by streams
// alone. Errors of the driver are thrown as EnvironmentError.
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
  // "auto": the first GPU, or the emulator where there is no driver or no GPU. "cuda", "cuda:1":
  // that GPU. "emulator", "emulator:h100": the emulator standing for that GPU ($OCTAVO_EMULATE,
  // h100 by default); a process emulates one GPU. Throws EnvironmentError that says what was
  // searched, UsageError for a name of another form.
  static Device open(std::string_view name = "auto");

  const std::string& name() const;  // "NVIDIA H100 80GB HBM3"
  bool emulated() const;
  const std::string& why_emulated() const;   // why "auto" took no GPU; "" where it did not choose
  int compute_capability() const;            // 90
  const Architecture& architecture() const;  // what kernels are compiled for
  int multiprocessors() const;
  const Driver& driver() const;
  void make_current() const;  // in the calling thread
  void synchronize() const;   // waits for all work; throws what it failed with

 private:
  struct State;
  explicit Device(std::shared_ptr<State> state);
  static Device open_gpu(int ordinal);
  static Device open_emulator(const std::string& model);
  std::shared_ptr<State> state_;
};

// Device memory, freed at the end. Its contents are undefined at first.
class Buffer {
 public:
  Buffer() = default;
  Buffer(const Device& device, std::size_t bytes);
  CUdeviceptr address() const;  // 0 when empty
  std::size_t bytes() const;
  // Synchronous. Throw UsageError for a range outside the buffer.
  void upload(const void* from, std::size_t bytes, std::size_t offset = 0);
  void download(void* to, std::size_t bytes, std::size_t offset = 0) const;
  void fill(unsigned char value);

 private:
  void require(std::size_t offset, std::size_t count) const;
  struct State;
  std::shared_ptr<State> state_;
};

// Its work is ordered with that of the default stream (0), as CUDA's blocking streams are.
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
