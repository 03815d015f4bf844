#pragma once

#include "prefill/strips.cuh"
#include "ptx/cp_async.cuh"
#include "ptx/fence.cuh"
#include "ptx/mov.cuh"

namespace octavo {

// Rows lie anywhere, as pages end inside strips: the warp's lanes copy them, 16 bytes each. Rows
// that are not there become zeros.
struct TileCopy {
  static constexpr bool kInGroups = true;  // copies are part of the threads' groups
  static constexpr bool kArrives = false;  // keys are there when their warps say so

  // Starts to copy the warp's rows of the tile at `first_token`, V to this buffer.
  static __device__ void start(const PrefillKernelArguments& arguments, const WarpRows& rows,
                               int first_token, const Memory& memory, const Stage& to, int buffer) {
#pragma unroll 1
    for (int i = 0; i < kWarpStrips; ++i) {
      const int strip = first_strip_of_warp() + i;
      if (kStrips % 4 != 0 && strip >= kStrips) break;
      int row = rows.row(arguments.cache, first_token, 0);
      for (int j = 1; j < WarpRows::kLookUps; ++j) {
        if (i / 2 == j) row = rows.row(arguments.cache, first_token, j);
      }
      copy_strip<KeyMatrix>(memory.keys(to.index), strip, row, i % 2 * 16, arguments.cache.k);
      copy_strip<Values::Copied>(memory.copied_values(buffer), strip, row, i % 2 * 16,
                                 arguments.cache.v);
    }
  }

  static __device__ void finish_values(const Memory&, const Turn&, int) {}

 private:
  // `row` is that of the strip's token `lane - first_lane`.
  template <class To>
  static __device__ void copy_strip(unsigned to, int strip, int row, int first_lane,
                                    DeviceAddress from) {
    to += strip * To::kStripBytes;
    const int lane = mov_laneid();  // the places of a strip's units would take too many registers
#pragma unroll 1
    for (int i = lane; i < 16 * To::kUnits; i += 32) {
      const int token = i / To::kUnits, unit = i % To::kUnits;
      const int of = __shfl_sync(0xffffffff, row, first_lane + token);
      cp_async_16(to + To::unit(token, unit),
                  from + (max(of, 0) * static_cast<long long>(To::kUnits) + unit) * 16,
                  of < 0 ? 0 : 16);
    }
  }
};

}  // namespace octavo
