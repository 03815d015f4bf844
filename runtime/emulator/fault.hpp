// A fault of an emulated program or of its use: what, where, and the driver's code for it.
#pragma once

#include <stdexcept>
#include <string>

#include "cuda_abi.h"

namespace octavo::emulator {

// Thrown by every part of the emulator but never through compiled kernels; the driver calls turn it
// into a CUresult and keep the message for octavoEmulatorLastFault. The message is one line.
class Fault : public std::runtime_error {
 public:
  Fault(CUresult code, const std::string& message) : std::runtime_error(message), code_(code) {}
  CUresult code() const { return code_; }

 private:
  CUresult code_;
};

}  // namespace octavo::emulator
