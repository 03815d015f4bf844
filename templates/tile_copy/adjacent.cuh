#pragma once

#include "prefill/strips.cuh"
#include "ptx/bulk_tensor.cuh"
#include "ptx/elect.cuh"

namespace octavo {

// Rows of a page lie one after another, and pages are whole boxes of kBoxRows: the tensor memory
// accelerator copies these, into the places where wgmma looks for them, and one lane of a warp
// tells it to. A box comes whole, also where not all of its rows are wanted: these may hold
// anything.
struct TileCopy {
  static constexpr bool kInGroups = false;             // copies are not the threads' own
  static constexpr bool kArrives = !Scale::kPerToken;  // keys are there without a word from anyone

  // Starts to copy the warp's rows of K and V.
  static __device__ void start(const PrefillKernelArguments& arguments, const WarpRows& rows,
                               const Memory& memory, const Stage& to) {
    int first_row[kBoxes];
#pragma unroll
    for (int box = 0; box < kBoxes; ++box) {
      const int token = box * kBoxRows;
      first_row[box] = __shfl_sync(0xffffffff, rows.row(token / 32), token % 32);
    }
    if (!elect_sync()) return;
    const unsigned keys = memory.barrier(Barrier::keys_full, to.index);
    const unsigned values = memory.barrier(Barrier::values_copied, to.index);
    if constexpr (kArrives) {
      mbarrier_arrive_expect_tx(keys, boxes() * kBoxRows * KeyMatrix::kRowBytes);
    } else {
      mbarrier_expect_tx(keys, boxes() * kBoxRows * KeyMatrix::kRowBytes);
    }
    mbarrier_arrive_expect_tx(values, boxes() * kBoxRows * Values::Copied::kRowBytes);
    copy<KeyMatrix>(memory.keys(to.index), &arguments.k_map, first_row, keys);
    copy<Values::Copied>(memory.copied_values(to.index), &arguments.v_map, first_row, values);
  }

  // Waits for a tile's V, of which the warp's rows from token `wanted` on become zeros, so that no
  // NaN that no one wrote is multiplied. Stages are a round ahead.
  static __device__ void finish_values(const Memory& memory, const Stage& stage, int wanted) {
    memory.wait_empty(Barrier::values_copied, stage);
    if (wanted >= kTileTokens) return;
    using Copied = Values::Copied;
    char* const copied = memory.base + (memory.copied_values(stage.index) - memory.address);
#pragma unroll 1
    for (int i = lane_id(); i < kWarpTokens * Copied::kUnits; i += 32) {
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
  static __device__ void copy(unsigned to, const TensorMap* map, const int (&first_row)[kBoxes],
                              unsigned barrier) {
#pragma unroll
    for (int box = 0; box < kBoxes; ++box) {
      if (box >= boxes()) break;
      const unsigned place = to + (16 * first_strip_of_warp() + box * kBoxRows) * To::kPiece;
#pragma unroll
      for (int piece = 0; piece < To::kRowBytes / To::kPiece; ++piece) {
        cp_async_bulk_tensor_2d(place + piece * To::kPieceBytes, map, piece * To::kPiece,
                                first_row[box], barrier);
      }
    }
  }
};

}  // namespace octavo
