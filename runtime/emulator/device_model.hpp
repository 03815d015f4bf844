// The GPUs that the emulator can stand for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "cuda_abi.h"

namespace octavo::emulator {

struct DeviceModel {
  std::string_view id;     // "h100", as in OCTAVO_EMULATE
  std::string_view name;   // "NVIDIA H100 80GB HBM3 (emulated)"
  int compute_capability;  // 90
  int multiprocessors;
  int shared_per_block;  // opt-in maximum, bytes
  int shared_per_multiprocessor;
  int clock_khz;
  int memory_clock_khz;
  int memory_bus_bits;
  int l2_bytes;
  std::size_t memory_bytes;

  // Of a block's own shared memory. What the system reserves lies below it since 9.0, and above it
  // before.
  std::uint32_t first_shared_address() const { return compute_capability >= 90 ? 1024 : 0; }
};

std::span<const DeviceModel> device_models();

// The model of this id; nullptr if there is none.
const DeviceModel* find_device_model(std::string_view id);

// The driver's answer for this attribute; throws Fault for one it does not know.
int device_attribute(const DeviceModel& model, CUdevice_attribute attribute);

}  // namespace octavo::emulator
