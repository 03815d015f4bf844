#pragma once

#include "attention/merge_parts.cuh"
#include "attention/softmax.cuh"

namespace octavo {

constexpr int kQuads = kHeadDimV / 4;

// What the block's warps made of its rows, each over its own tiles, in the memory that the tiles
// were in.
struct WarpParts {
  float4 outputs[kWarps][kRows][kQuads];  // a row's quads are swizzled
  float2 sums[kWarps][kRows];             // maximum and sum
  float units[kWarps];                    // of the outputs

  // Those of a row, of which this thread has two dims, in their order, so that the bits depend on
  // nothing else.
  __device__ RowPart joined(int row, int pair) const {
    RowPart result;
    for (int warp = 0; warp < kWarps; ++warp) {
      result.maximum = fmaxf(result.maximum, sums[warp][row].x);
    }
#pragma unroll
    for (int warp = 0; warp < kWarps; ++warp) {
      const float2* outputs = reinterpret_cast<const float2*>(this->outputs[warp][row]);
      const float2 of_pair = outputs[swizzled_quad(row, pair / 2) * 2 + pair % 2];
      const float2 of_row = sums[warp][row];
      const float weight = ex2_approx_ftz(of_row.x - finite(result.maximum));
      result.sum += weight * of_row.y;
      result.outputs[0] += weight * units[warp] * of_pair.x;
      result.outputs[1] += weight * units[warp] * of_pair.y;
    }
    return result;
  }

  // Where a quad of a row is, so that neither the lanes that write nor those that read have a bank
  // conflict: a quad is 4 banks, g's row starts at bank 0, and t's quads are a multiple of 4 or 8
  // from each other.
  static __device__ int swizzled_quad(int row, int quad) {
    if constexpr (kQuads % 8 == 0) return quad ^ quad / 8 % 4 * 2 ^ row % 2;
    return quad;
  }
};

// A lane's values of one row. In each part of a row of V they are those of the two columns 2t and
// 2t + 1, whose dims are neighbours.
template <int kByte = 0>
inline __device__ void store_row(float4* quads, int row, const float (&outputs)[kDimTiles][4],
                                 int half) {
  if constexpr (kByte < kValueBytes) {
    constexpr int kFirst = kByte / Cache::kBytes;
    constexpr int kEighth = part_bytes(kByte) / Cache::kBytes / 8;  // dims of a column
    const auto value = [&](int i) {
      return outputs[kFirst / 8 + i % kEighth][2 * half + i / kEighth];
    };
    const int first = kFirst + lane_id() % 4 * 2 * kEighth;
    if constexpr (kEighth == 1) {
      reinterpret_cast<float2*>(quads)[first / 2] = {value(0), value(1)};
    } else {
      const int lane = WarpParts::swizzled_quad(row, first / 4);  // shares no bit with i / 4
#pragma unroll
      for (int i = 0; i < 2 * kEighth; i += 4) {
        quads[lane ^ i / 4] = {value(i), value(i + 1), value(i + 2), value(i + 3)};
      }
    }
    store_row<kByte + part_bytes(kByte)>(quads, row, outputs, half);
  }
}

// Leaves the warp's part for the block's other warps.
inline __device__ void store_part(WarpParts& parts, const Rows& rows, const Softmax& softmax,
                                  const Outputs& outputs) {
  if (lane_id() == 0) parts.units[warp_id()] = softmax.unit;
#pragma unroll
  for (int tile = 0; tile < kRowTiles; ++tile) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = 16 * tile + lane_id() / 4 + 8 * half;
      const float sum = quad_sum(softmax.sum[tile][half]);
      if (row >= rows.count) continue;
      store_row(parts.outputs[warp_id()][row], row, outputs[tile], half);
      if (lane_id() % 4 == 0) {
        parts.sums[warp_id()][row] = {softmax.maximum[tile][half] - Mma::kWeightExponent, sum};
      }
    }
  }
}

// Merges the warps' parts of the block's rows: into the batch's output or, where there are several
// splits, into the block's.
inline __device__ void merge_warps(const DecodeArguments& arguments, const Rows& rows,
                                   const WarpParts& parts) {
#pragma unroll 1
  for (int i = threadIdx.x; i < rows.count * kPairs; i += kThreads) {
    const int row = i / kPairs, pair = i % kPairs;
    const RowPart merged = parts.joined(row, pair);
    const long long index = index_of(rows, row);
    if (arguments.splits == 1) {
      finish(arguments, index, rows.head(row), pair, merged);
    } else {
      SplitStrip(arguments, index, pair).write(blockIdx.x, pair, merged);
    }
  }
}

}  // namespace octavo
