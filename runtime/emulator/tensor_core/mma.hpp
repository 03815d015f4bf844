// Matrix instructions of a warp, bit for bit as each architecture computes them.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace octavo::emulator::tensor_core {

enum class Element : std::uint8_t { f16, bf16, tf32, e4m3, e5m2, s8, u8 };
enum class Accumulator : std::uint8_t { f32, f16, s32 };

struct MmaShape {
  int compute_capability;  // of the emulated device: 80, 89, 90, 100, 120
  int m, n, k;
  Element a, b;
  Accumulator accumulator;  // of c and d both
  bool operator==(const MmaShape&) const = default;
};

// One warp-wide mma.sync. Fragments are arrays of 32-bit registers by lane, [register][32], in the
// ISA's layouts; d may be c. The host must round to nearest and flush nothing, as it does by
// default.
using MmaFunction = void (*)(std::uint32_t* d, const std::uint32_t* a, const std::uint32_t* b,
                             const std::uint32_t* c);

struct Mma {
  MmaShape shape;
  std::string_view symbol;  // "mma.sm_90.m16n8k16.f16.f16.f32": what compiled kernels link to
  MmaFunction function;
  int a_registers, b_registers, c_registers;  // 32-bit registers a lane
};

// The table of all that exist; and its row for this shape, nullptr if there is none.
std::span<const Mma> mma_table();
const Mma* find_mma(const MmaShape& shape);

}  // namespace octavo::emulator::tensor_core
