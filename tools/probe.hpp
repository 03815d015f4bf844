// A kernel that was not generated: compiled from CUDA text, to measure or to record a device.
#pragma once

#include <string>

#include "runtime/device.hpp"

namespace octavo {

class Probe {
 public:
  // `entry` is the kernel's extern "C" name.
  Probe(const Device& device, const std::string& text, const std::string& entry);
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;
  ~Probe();

  // Enqueues one launch; `arguments` are of exactly the kernel's types.
  template <typename... Arguments>
  void launch(unsigned blocks, unsigned threads, CUstream stream, Arguments... arguments) const {
    void* pointers[] = {&arguments...};
    enqueue(blocks, threads, stream, pointers);
  }

 private:
  void enqueue(unsigned blocks, unsigned threads, CUstream stream, void** arguments) const;

  Device device_;
  CUmodule module_ = nullptr;
  CUfunction function_ = nullptr;
};

}  // namespace octavo
