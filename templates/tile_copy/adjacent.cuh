#pragma once

#include "prefill/strips.cuh"
#include "ptx/bulk_tensor.cuh"
#include "ptx/elect.cuh"
#include "ptx/mov.cuh"

namespace octavo {

// Rows of a page lie one after another, and pages are whole boxes of kBoxRows: the tensor memory
// accelerator copies these, into the places where wgmma looks for them, and one lane of a warp
// tells it to. A box comes whole, also where not all of its rows are wanted: these may hold
// anything.
struct TileCopy {
  static constexpr bool kInGroups = false;             // copies are not the threads' own
  static constexpr bool kArrives = !Scale::kPerToken;  // keys are there without a word from anyone

  // Starts to copy the warp's rows of the tile at `first_token`, V to this buffer.
  static __device__ void start(const PrefillKernelArguments& arguments, const WarpRows& rows,
                               int first_token, const Memory& memory, const Stage& to, int buffer) {
    const unsigned keys = memory.barrier(Barrier::keys_full, to.index);
    const unsigned values = memory.barrier(Barrier::values_copied, buffer);
    const bool elected = elect_sync();
    if (elected) {
      const int rows = boxes() * kBoxRows;
      if constexpr (kArrives) {
        mbarrier_arrive_expect_tx(keys, rows * KeyMatrix::kRowBytes);
      } else {
        mbarrier_expect_tx(keys, rows * KeyMatrix::kRowBytes);
      }
      mbarrier_arrive_expect_tx(values, rows * Values::Copied::kRowBytes);
    }
#pragma unroll
    for (int box = 0; box < kBoxes; ++box) {
      if (box >= boxes()) break;
      const int token = box * kBoxRows;
      const int row =
          __shfl_sync(0xffffffff, rows.row(arguments.cache, first_token, token / 32), token % 32);
      if (!elected) continue;
      const int place = 16 * first_strip_of_warp() + token;
      copy<KeyMatrix>(memory.keys(to.index), place, &arguments.k_map, row, keys);
      copy<Values::Copied>(memory.copied_values(buffer), place, &arguments.v_map, row, values);
    }
  }

  // Waits for a tile's V, of which the warp's rows from token `wanted` on become zeros, so that no
  // NaN that no one wrote is multiplied. The turn is a round ahead.
  static __device__ void finish_values(const Memory& memory, const Turn& copied_to, int wanted) {
    memory.wait_empty(Barrier::values_copied, copied_to);
    if (wanted >= kTileTokens) return;
    using Copied = Values::Copied;
    char* const copied = memory.base + (memory.copied_values(copied_to.index) - memory.address);
#pragma unroll 1
    for (int i = mov_laneid(); i < kWarpTokens * Copied::kUnits; i += 32) {
      const int token = 16 * first_strip_of_warp() + i / Copied::kUnits;
      if (token < wanted || token >= kTileTokens) continue;
      *reinterpret_cast<uint4*>(copied + Copied::unit(token, i % Copied::kUnits)) = {};
    }
    __syncwarp();
  }

 private:
  static constexpr int kBoxes = kWarpTokens / kBoxRows;  // of a warp

  // Those that are in the tile.
  static __device__ int boxes() {
    if constexpr (kStrips % 4 == 0) return kBoxes;
    return max(0, min(kBoxes, (kTileTokens - 16 * first_strip_of_warp()) / kBoxRows));
  }

  template <class To>
  static __device__ void copy(unsigned to, int place, const TensorMap* map, int row,
                              unsigned barrier) {
#pragma unroll
    for (int piece = 0; piece < To::kRowBytes / To::kPiece; ++piece) {
      cp_async_bulk_tensor_2d(to + place * To::kPiece + piece * To::kPieceBytes, map,
                              piece * To::kPiece, row, barrier);
    }
  }
};

}  // namespace octavo
