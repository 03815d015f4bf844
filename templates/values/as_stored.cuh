#pragma once

#include "prefill/matrix.cuh"

namespace octavo {

// V of two bytes as an operand: wgmma takes it as it lies, a token's dims side by side.
struct Values {
  using Operand = Matrix<kTileTokens, 2 * kHeadDimV>;
  using Copied = Operand;
  static constexpr int kCopiedBytes = 0;
  static constexpr bool kTransposed = false;
  static constexpr int kOnes = 0;
  static constexpr float kOddColumns = 1;
  static __device__ float sum(const float*) { return 0; }

  template <int kCount>
  static __device__ void place(unsigned, unsigned, int, int) {}

  // From a tile's descriptor to that of one product's tokens, of the dims from `dim` on.
  static constexpr __device__ int offset(int step, int dim) {
    return step * 16 * Operand::kPiece / 16 + Operand::along(2 * dim);
  }

  // A lane has, of each 8 columns of O, 2t and 2t + 1; two lanes exchange halves of two such tiles,
  // so that each has four neighbours: the even one of the first tile, the odd one of the second.
  // Of row g (half 0) or g + 8: the values of a quad, and which quad it is.
  static __device__ int quad(float (&values)[8], const float (&outputs)[kHeadDimV / 2], int pair,
                             int half) {
    const int t = threadIdx.x % 4;
    const bool odd = t % 2 != 0;
    for (int i = 0; i < 2; ++i) {
      const float first = outputs[8 * pair + 2 * half + i];
      const float second = outputs[8 * pair + 4 + 2 * half + i];
      const float other = __shfl_xor_sync(0xffffffff, odd ? first : second, 1);
      values[i] = odd ? other : first;
      values[i + 2] = odd ? second : other;
    }
    return 4 * pair + t / 2 + (odd ? 2 : 0);
  }
};

}  // namespace octavo
