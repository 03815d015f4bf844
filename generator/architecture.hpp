// The architectures that Octavo writes kernels for, and what each can do.
#pragma once

#include <span>
#include <string_view>

namespace octavo {

struct Architecture {
  std::string_view name;                // "sm_90a": what the compiler is told
  int compute_capability;               // 90
  int shared_bytes_per_block;           // that a block may have on every device that runs this code
  int shared_bytes_per_multiprocessor;  // of the device the architecture is named after
  bool fp8_convert;       // cvt between fp8 and fp16/fp32 in hardware (sm_89 and later)
  bool fp8_mma;           // mma.sync takes fp8 operands (sm_89 and later)
  bool dependent_launch;  // programmatic dependent launch (sm_90 and later)
  bool wgmma;             // Hopper's alone
  bool operator==(const Architecture&) const = default;
};

std::span<const Architecture> architectures();

// By name ("sm_90a"), nullptr if there is none.
const Architecture* find_architecture(std::string_view name);

// The one to compile for on a device of this compute capability (major * 10 + minor): its own, or
// the newest older one whose code still runs there; nullptr if there is none.
const Architecture* architecture_for_device(int compute_capability);

}  // namespace octavo
