#pragma once

#include "attention/tile.cuh"

namespace octavo {

constexpr int kTokenTiles = kTileTokens / 8;                // columns of S by 8
constexpr int kTileSteps = kTileTokens / Mma::kStepTokens;  // products deep is P V of a tile
constexpr int kDimTiles = kHeadDimV / 8;                    // columns of O by 8

using Scores = float[kRowTiles][kTokenTiles][4];
using Weights = unsigned[kTileSteps][kRowTiles][4];
using Outputs = float[kRowTiles][kDimTiles][4];

// A lane's part of a row: 16, 8, 4 or 2 bytes.
template <int kBytes, int kWords>
inline __device__ void load_words(unsigned (&words)[kWords], const char* shared) {
  static_assert(kBytes <= 4 * kWords);
  if constexpr (kBytes == 16) {
    const uint4 value = *reinterpret_cast<const uint4*>(shared);
    words[0] = value.x, words[1] = value.y, words[2] = value.z, words[3] = value.w;
  } else if constexpr (kBytes == 8) {
    const uint2 value = *reinterpret_cast<const uint2*>(shared);
    words[0] = value.x, words[1] = value.y;
  } else if constexpr (kBytes == 4) {
    words[0] = *reinterpret_cast<const unsigned*>(shared);
  } else {
    words[0] = *reinterpret_cast<const unsigned short*>(shared);
  }
}

// S = Q K^T. Column n of S's tile i is token 8i + n.
inline __device__ void multiply_keys(Scores& scores, const Query& query, const char* keys) {
  const int g = lane_id() / 4;
  const int t = lane_id() % 4;
#pragma unroll Query::kChunksAtOnce
  for (int chunk = 0; chunk * 4 < kKeyUnits; ++chunk) {
    unsigned words[kTokenTiles][4] = {};
#pragma unroll
    for (int i = 0; i < kTokenTiles; ++i) {
      const char* rows = keys + i * kEightRowsBytes<kKeyUnits>;
      if (chunk < kKeyChunks) {
        load_words<16>(words[i], rows + unit_index<kKeyUnits>(g, t, chunk * 4) * 16);
      } else {
        for (int j = 0; j < kKeyTail; ++j) {
          const int unit = unit_index<kKeyUnits>(g, 0, chunk * 4 + j);
          words[i][j] = *reinterpret_cast<const unsigned*>(rows + unit * 16 + t * 4);
        }
      }
    }
#pragma unroll
    for (int word = 0; word < 4; word += Operand::kStepWords) {
      const int step = (chunk * 4 + word) / Operand::kStepWords;
      if (step >= kKeySteps) break;
      unsigned b[kTokenTiles][2];
      for (int i = 0; i < kTokenTiles; ++i) {
        unsigned part[Operand::kStepWords];
        for (int j = 0; j < Operand::kStepWords; ++j) part[j] = words[i][word + j];
        Operand::keys(b[i], part);
      }
#pragma unroll
      for (int tile = 0; tile < kRowTiles; ++tile) {
        unsigned a[4];
        query.operand(a, tile, step);
        for (int i = 0; i < kTokenTiles; ++i) Mma::multiply(scores[tile][i], a, b[i]);
      }
    }
  }
}

// A row of V is cut into parts of kValuePart, 64, 32 or 16 bytes, of which each g takes an eighth:
// the dims of O that a column g stands for are those of its eighth, one in each tile of O.
constexpr int kValueBytes = kHeadDimV * Cache::kBytes;
constexpr __device__ int part_bytes(int byte) {
  const int rest = kValueBytes - byte;
  return rest >= kValuePart ? kValuePart : rest >= 64 ? 64 : rest >= 32 ? 32 : 16;
}

// O += P V for the tokens of one product. P's registers are as S = Q K^T left them, so its column k
// is one of tokens 2t, 2t + 1, 2t + 8 and 2t + 9 of each 16, and V's rows are read in that order.
template <int kByte = 0>
inline __device__ void multiply_values(Outputs& outputs, const unsigned (&weights)[kRowTiles][4],
                                       const char* values) {
  if constexpr (kByte < kValueBytes) {
    constexpr int kLaneBytes = part_bytes(kByte) / 8;
    constexpr int kLaneWords = kLaneBytes > 4 ? kLaneBytes / 4 : 1;
    constexpr int kLaneRows = Mma::kStepTokens / 4;
    const int t = lane_id() % 4;
    const int byte = lane_id() / 4 * kLaneBytes;  // of the part
    unsigned words[kLaneRows][kLaneWords];
#pragma unroll
    for (int i = 0; i < kLaneRows; ++i) {
      const int unit = unit_index<kValueUnits>(2 * t + i % 2, byte / 16, kByte / 16);
      load_words<kLaneBytes>(words[i],
                             values + i / 2 * kEightRowsBytes<kValueUnits> + unit * 16 + byte % 16);
    }
#pragma unroll
    for (int word = 0; word < kLaneWords; ++word) {
      unsigned column[kLaneRows];
      for (int i = 0; i < kLaneRows; ++i) column[i] = words[i][word];
      unsigned b[kWordDims][2];
      Operand::values(b, column);
      constexpr int kDims = kLaneBytes < 4 ? kLaneBytes / Cache::kBytes : kWordDims;
#pragma unroll
      for (int dim = 0; dim < kDims; ++dim) {
        const int column_tile = kByte / Cache::kBytes / 8 + word * kWordDims + dim;
        for (int tile = 0; tile < kRowTiles; ++tile) {
          Accumulation::multiply(outputs[tile][column_tile], weights[tile], b[dim]);
        }
      }
    }
    multiply_values<kByte + part_bytes(kByte)>(outputs, weights, values);
  }
}

}  // namespace octavo
