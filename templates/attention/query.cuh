#pragma once

#include "attention/tile.cuh"
#include "ptx/memory.cuh"

namespace octavo {

// S = Q K^T sums over the head dim in any order, as long as Q and K agree on it: here it is the
// order in which a lane's 16-byte loads of K give it, so that K needs no rearranging. Lane (g, t)
// loads of token g's row, for each 64 bytes, the 16 bytes 16t..; of a row's last 16 to 48 bytes,
// the 4 bytes 4t.. of each unit.
constexpr int kKeyChunks = kKeyUnits / 4;  // of 64 bytes
constexpr int kKeyTail = kKeyUnits % 4;    // units after the last chunk
constexpr int kKeyWords = kKeyUnits;       // 4-byte words that a lane loads of a row
constexpr int kKeySteps = (kKeyWords + Operand::kStepWords - 1) / Operand::kStepWords;

// The first dim of a lane's word.
inline __device__ int dim_of_word(int word) {
  const int t = threadIdx.x % 4;
  const int byte =
      word < 4 * kKeyChunks ? word / 4 * 64 + t * 16 + word % 4 * 4 : word * 16 + t * 4;
  return byte / Cache::kBytes;
}

// What a product takes of the lane's two rows, as the input has it.
constexpr int kRawWords = kWordDims * Input::kBytes / 4;
using QueryWords = unsigned[2][Operand::kStepWords][kRawWords];

// The lane's two rows of a row tile, 16 * tile + g and 8 more. Rows beyond the block's repeat its
// last one; no one looks at what becomes of them.
struct QueryRows {
  DeviceAddress q[2];
  float scale[2];  // of what is multiplied; 1 where queries need none

  QueryRows() = default;
  __device__ QueryRows(const DecodeArguments& arguments, const Rows& rows, int tile) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = min(16 * tile + lane_id() / 4 + 8 * half, rows.count - 1);
      const long long element = rows.token(row) * arguments.q_stride +
                                rows.head(row) * static_cast<long long>(kHeadDimQk);
      q[half] = arguments.q + element * Input::kBytes;
      scale[half] = 1;
      if constexpr (Mma::kQueryLimit > 0) {
        scale[half] = largest(half) * (1 / Mma::kQueryLimit);
        reciprocal_[half] = 1 / fmaxf(scale[half], 0x1p-126f);
      }
    }
  }

  // Starts to read what a product takes. Its last word may be beyond the row's end: zeros.
  __device__ void read(QueryWords& words, int step) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      for (int i = 0; i < Operand::kStepWords; ++i) {
        const int word = step * Operand::kStepWords + i;
        for (unsigned& raw : words[half][i]) raw = 0;
        if (kKeyWords % Operand::kStepWords != 0 && word >= kKeyWords) continue;
        ld_global(words[half][i], q[half] + dim_of_word(word) * Input::kBytes);
      }
    }
  }

  // The first operand of the product.
  __device__ void fragment(unsigned (&a)[4], const QueryWords& words) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float values[2 * Mma::kPack];
#pragma unroll
      for (int i = 0; i < Operand::kStepWords; ++i) {
        float unpacked[kWordDims];
        unpack(unpacked, words[half][i]);
        for (int j = 0; j < kWordDims; ++j) values[i * kWordDims + j] = scaled(unpacked[j], half);
      }
      a[half] = pack(values, 0);
      a[half + 2] = pack(values, Mma::kPack);
    }
  }

 private:
  static __device__ void unpack(float (&values)[kWordDims], const unsigned (&raw)[kRawWords]) {
    unsigned words[2 * Input::kBytes] = {};  // formats unpack eight
    for (int i = 0; i < kRawWords; ++i) words[i] = raw[i];
    float all[8];
    Input::unpack(all, words);
    for (int i = 0; i < kWordDims; ++i) values[i] = all[i];
  }

  __device__ float largest(int half) const {
    float result = 0;
#pragma unroll
    for (int word = 0; word < kKeyWords; ++word) {
      unsigned raw[kRawWords];
      ld_global(raw, q[half] + dim_of_word(word) * Input::kBytes);
      float values[kWordDims];
      unpack(values, raw);
      for (float value : values) result = fmaxf(result, fabsf(value));
    }
    result = fmaxf(result, __shfl_xor_sync(0xffffffff, result, 1));
    return fmaxf(result, __shfl_xor_sync(0xffffffff, result, 2));
  }

  __device__ float scaled(float value, int half) const {
    if constexpr (Mma::kQueryLimit == 0) return value;
    return value * reciprocal_[half];
  }

  static __device__ unsigned pack(const float (&values)[2 * Mma::kPack], int first) {
    float part[Mma::kPack];
    for (int i = 0; i < Mma::kPack; ++i) part[i] = values[first + i];
    return Mma::pack(part);
  }

  float reciprocal_[2];  // of scale; where queries need one
};

}  // namespace octavo
