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
  // Starts to copy the warp's rows of a tile to matrices of K and of V. A phase of their barriers
  // does not end before they are there.
  static __device__ void start(const PrefillKernelArguments& arguments, const TileRows& rows,
                               const Memory&, unsigned keys, unsigned keys_barrier, unsigned values,
                               unsigned values_barrier) {
    const bool elected = elect_sync();
    if (elected) {
      mbarrier_expect_tx(keys_barrier, boxes() * kBoxRows * KeyMatrix::kRowBytes);
      mbarrier_expect_tx(values_barrier, boxes() * kBoxRows * Values::Copied::kRowBytes);
    }
#pragma unroll
    for (int box = 0; box < kBoxes; ++box) {
      if (box >= boxes()) break;
      const int token = box * kBoxRows;
      const int row = rows.row_of(arguments.cache, token);
      if (!elected) continue;
      const int place = 16 * first_strip_of_warp() + token;
      copy<KeyMatrix>(keys, place, arguments.k_map, row, keys_barrier);
      copy<Values::Copied>(values, place, arguments.v_map, row, values_barrier);
    }
  }

  // The warp's rows of V from token `wanted` of the tile on become zeros, so that no NaN that no
  // one wrote is multiplied.
  static __device__ void finish(char* values, int wanted) {
    if (wanted >= kTileTokens) return;
    using Copied = Values::Copied;
    const int first = 16 * first_strip_of_warp();
#pragma unroll 1
    for (int i = mov_laneid(); i < kWarpTokens * Copied::kUnits; i += 32) {
      const int token = first + i / Copied::kUnits;
      if (token < wanted || token >= kTileTokens) continue;
      *reinterpret_cast<uint4*>(values + Copied::unit(token, i % Copied::kUnits)) = {};
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
  static __device__ void copy(unsigned to, int place, const TensorMap& map, int row,
                              unsigned barrier) {
#pragma unroll
    for (int piece = 0; piece < To::kRowBytes / To::kPiece; ++piece) {
      cp_async_bulk_tensor_2d(to + place * To::kPiece + piece * To::kPieceBytes, &map,
                              piece * To::kPiece, row, barrier);
    }
  }
};

}  // namespace octavo
