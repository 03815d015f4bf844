#pragma once

#include "prefill/matrix.cuh"
#include "ptx/matrix.cuh"
#include "ptx/mov.cuh"

namespace octavo {

// V of one byte as an operand: wgmma wants the tokens of a dim side by side, so a tile is copied as
// it lies and then transposed. Of each 16 tokens, positions 4t .. 4t + 3 are tokens 2t, 2t + 1,
// 2t + 8 and 2t + 9, which are those whose scores lane t of a row has; of each 16 dims, rows 0 to 7
// are the even ones and 8 to 15 the odd ones, as they come out of a transposition of pairs.
struct Values {
  // Columns after V's dims, of which a lane has an even and an odd one: P V has P's sums in them.
  // The tensor cores sum the weights as they were rounded, which would have to be unpacked for it
  // otherwise.
  static constexpr int kOnes = 8;
  static constexpr float kOddColumns = 256;  // what odd ones' sums are to be multiplied by
  static __device__ float sum(const float* columns) {
    return Scale::kPerToken ? columns[0] + kOddColumns * columns[1] : columns[0];
  }

  using Copied = Matrix<kTileTokens, kHeadDimV>;
  using Operand = Matrix<kHeadDimV + kOnes, kTileTokens>;
  static constexpr int kCopiedBytes = Copied::kBytes;
  static constexpr bool kTransposed = true;

  // What a warp copied goes to its place, kCount strips from strip `first` on, of which those
  // before strip `end` are there.
  template <int kCount>
  static __device__ void place(unsigned operand, unsigned copied, int first, int end) {
    // Where the lane reads and writes of a piece's first dims. Those of its later ones are a
    // constant away, within a row in bits that are the swizzle's alone, as pieces begin at whole
    // patterns.
    const int lane = mov_laneid();  // the producer has no registers for all of this all the while
    copied += first * Copied::kStripBytes + Copied::unit(lane % 16, lane / 16);
    // Loads that are waited for together; with long rows there are no registers for it.
    constexpr int kAtOnce = kHeadDimV <= 128 ? kCount : 1;
    unsigned to[kCount];
#pragma unroll
    for (int i = 0; i < kCount; ++i) to[i] = operand + Operand::unit(lane, first + i);
#pragma unroll 1
    for (int piece = 0; piece < kHeadDimV / Copied::kPiece; ++piece) {
#pragma unroll
      for (int dim = 0; dim < Copied::kPiece; dim += 32) {
#pragma unroll
        for (int from = 0; from < kCount; from += kAtOnce) {
          unsigned of[kAtOnce][4];  // tokens 0 to 7 and 8 to 15 of 16 dims, then of 16 more
#pragma unroll
          for (int i = 0; i < kAtOnce; ++i) {
            if (first + from + i >= end) break;
            ldmatrix_x4_trans(of[i], (copied ^ dim) + (from + i) * Copied::kStripBytes);
          }
#pragma unroll
          for (int i = 0; i < kAtOnce; ++i) {
            if (first + from + i >= end) break;
            const unsigned words[4] = {
                __byte_perm(of[i][0], of[i][1], 0x6420), __byte_perm(of[i][0], of[i][1], 0x7531),
                __byte_perm(of[i][2], of[i][3], 0x6420), __byte_perm(of[i][2], of[i][3], 0x7531)};
            stmatrix_x4(to[from + i] + dim * Operand::kPiece, words);
          }
        }
      }
      copied += Copied::kPieceBytes;
#pragma unroll
      for (unsigned& each : to) each += Copied::kPiece * Operand::kPiece;
    }
  }

  // From a tile's descriptor to that of one product's tokens, of the dims from `dim` on.
  static constexpr __device__ int offset(int step, int dim) {
    return Operand::along(step * 32) + dim * Operand::kPiece / 16;
  }

  // A lane has, of each 16 columns of O, 2t, 2t + 1, 2t + 8 and 2t + 9: dims 4t .. 4t + 3. Of row g
  // (half 0) or g + 8: the values of quad 4 * tile_pair + t, and which quad it is.
  static __device__ int quad(float (&values)[8], const float (&outputs)[kHeadDimV / 2], int pair,
                             int half) {
    for (int i = 0; i < 4; ++i) values[i] = outputs[8 * pair + i % 2 * 4 + 2 * half + i / 2];
    return 4 * pair + threadIdx.x % 4;
  }
};

}  // namespace octavo
