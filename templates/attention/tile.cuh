#pragma once

#include "attention/rows.cuh"

namespace octavo {

// A warp works on tiles of kTileTokens tokens, which lie in shared memory as rows of 16-byte units:
// first K's rows, then V's, then, where each token has scales of its own, K's scales and V's.
constexpr int kWordDims = 4 / Cache::kBytes;  // values of a 4-byte word
constexpr int kKeyUnits = kHeadDimQk * Cache::kBytes / 16;
constexpr int kValueUnits = kHeadDimV * Cache::kBytes / 16;
constexpr int kValuesOffset = kTileTokens * kKeyUnits * 16;
constexpr int kKeyScalesOffset = kValuesOffset + kTileTokens * kValueUnits * 16;
constexpr int kValueScalesOffset = kKeyScalesOffset + kTileTokens * 4;
static_assert(kTileTokens % Mma::kStepTokens == 0, "a tile is whole products of P and V");
static_assert(kStageBytes >=
              (Scale::kPerToken ? kValueScalesOffset + kTileTokens * 4 : kKeyScalesOffset));

// Where a unit of a row is, so that no access below has a bank conflict where a row is a multiple
// of 64 bytes. Shared memory serves 8 lanes of 16 bytes at a time, one for each of the 8 units of
// 128 bytes; with g = lane / 4 and t = lane % 4 they are
//   K: rows 2i and 2i + 1, units 4c + t     V: rows 2t (or 2t + 1), units 2i and 2i + 1
// Rows of 128 bytes: exchanging units by bits 1 and 2 of the row number parts V's rows, and
// flipping bit 2 in odd rows parts K's. Rows of 64 (mod 128) bytes: odd rows start at bank 16,
// which parts K's rows already. Other rows start at banks different enough.
template <int kUnits>
inline __device__ int row_swizzle(int row) {
  if constexpr (kUnits % 8 == 0) return (row & 6) ^ (row & 1) << 2;
  if constexpr (kUnits % 8 == 4) return row & 6;
  return 0;
}

// Unit `unit + constant` of a row, two numbers that share no bit: the lane's part is computed once
// for all constants.
template <int kUnits>
inline __device__ int unit_index(int row, int unit, int constant) {
  const int lane = row * kUnits + unit;
  if constexpr (kUnits % 8 == 0) {
    return (lane ^ row_swizzle<kUnits>(row) ^ (constant & 7)) + (constant & ~7);
  }
  return (lane + constant) ^ row_swizzle<kUnits>(row);
}

// As `^` changes nothing above bit 2 and rows 8 apart are a multiple of 8 units apart, a lane's
// rows 8 apart are at constant distances.
template <int kUnits>
constexpr int kEightRowsBytes = 8 * kUnits * 16;

}  // namespace octavo
