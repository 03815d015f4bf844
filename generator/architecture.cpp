#include "generator/architecture.hpp"

#include <algorithm>
#include <array>

namespace octavo {
namespace {

constexpr int kKiB = 1024;

// Shared memory from the CUDA programming guide's table of technical specifications; one KiB of a
// block's share is the system's. sm_80's code runs on 8.6 and 8.7 too: a block may have 163 KiB on
// 8.0 and 8.7, but only 99 KiB on 8.6.
constexpr std::array kArchitectures{
    Architecture{.name = "sm_80",
                 .compute_capability = 80,
                 .shared_bytes_per_block = 99 * kKiB,
                 .shared_bytes_per_multiprocessor = 164 * kKiB,
                 .fp8_convert = false,
                 .fp8_mma = false,
                 .dependent_launch = false,
                 .wgmma = false},
    Architecture{.name = "sm_89",
                 .compute_capability = 89,
                 .shared_bytes_per_block = 99 * kKiB,
                 .shared_bytes_per_multiprocessor = 100 * kKiB,
                 .fp8_convert = true,
                 .fp8_mma = true,
                 .dependent_launch = false,
                 .wgmma = false},
    Architecture{.name = "sm_90a",
                 .compute_capability = 90,
                 .shared_bytes_per_block = 227 * kKiB,
                 .shared_bytes_per_multiprocessor = 228 * kKiB,
                 .fp8_convert = true,
                 .fp8_mma = true,
                 .dependent_launch = true,
                 .wgmma = true},
    Architecture{.name = "sm_100a",
                 .compute_capability = 100,
                 .shared_bytes_per_block = 227 * kKiB,
                 .shared_bytes_per_multiprocessor = 228 * kKiB,
                 .fp8_convert = true,
                 .fp8_mma = true,
                 .dependent_launch = true,
                 .wgmma = false},
    Architecture{.name = "sm_120a",
                 .compute_capability = 120,
                 .shared_bytes_per_block = 99 * kKiB,
                 .shared_bytes_per_multiprocessor = 100 * kKiB,
                 .fp8_convert = true,
                 .fp8_mma = true,
                 .dependent_launch = true,
                 .wgmma = false},
};

// Code for an architecture whose name ends in "a" runs on that compute capability alone; other code
// runs on every later one, as PTX at the latest.
bool runs_on(const Architecture& arch, int compute_capability) {
  if (arch.name.ends_with('a')) return arch.compute_capability == compute_capability;
  return arch.compute_capability <= compute_capability;
}

}  // namespace

std::span<const Architecture> architectures() { return kArchitectures; }

const Architecture* find_architecture(std::string_view name) {
  const auto* found = std::ranges::find(kArchitectures, name, &Architecture::name);
  return found == kArchitectures.end() ? nullptr : found;
}

const Architecture* architecture_for_device(int compute_capability) {
  const Architecture* newest = nullptr;
  for (const Architecture& arch : kArchitectures) {
    if (runs_on(arch, compute_capability)) newest = &arch;  // the table is in ascending order
  }
  return newest;
}

}  // namespace octavo
