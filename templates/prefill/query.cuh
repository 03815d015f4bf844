#pragma once

#include "prefill/memory.cuh"
#include "ptx/matrix.cuh"
#include "ptx/memory.cuh"

namespace octavo {

// A lane's two rows.
struct LaneRows {
  int row[2];  // in the block

  __device__ LaneRows() {
    const int consumer = warp_id() / 4 - 1;
    for (int half = 0; half < 2; ++half) row[half] = consumer * kConsumerRows + row_of_lane(half);
  }
};

// Queries of the lane's rows, a quarter of each row's values, eight at a time, go to shared memory
// as an operand. Rows beyond the block's repeat its last one; no one looks at what becomes of them.
inline __device__ void store_queries(float (&scale)[2], const PrefillArguments& arguments,
                                     const Rows& rows, const LaneRows& lane, char* queries) {
  constexpr int kEights = kHeadDimQk / 32;
  const int t = lane_id() % 4;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = min(lane.row[half], rows.count - 1);
    const long long element =
        rows.token(row) * arguments.q_stride + rows.head(row) * static_cast<long long>(kHeadDimQk);
    float values[kEights][8];
    float largest = 0;
#pragma unroll
    for (int i = 0; i < kEights; ++i) {
      unsigned words[2 * Input::kBytes];
      ld_global(words, arguments.q + (element + (t + 4 * i) * 8) * Input::kBytes);
      Input::unpack(values[i], words);
      for (float value : values[i]) largest = fmaxf(largest, fabsf(value));
    }
    scale[half] = 1;
    if constexpr (Mma::kQueryLimit > 0) {
      largest = quad_max(largest);
      if (largest > 0) scale[half] = fmaxf(largest * (1 / Mma::kQueryLimit), 0x1p-126f);
      const float reciprocal = 1 / scale[half];
#pragma unroll
      for (int i = 0; i < kEights; ++i) {
        for (float& value : values[i]) value *= reciprocal;
      }
    }
#pragma unroll
    for (int i = 0; i < kEights; ++i) {
      constexpr int kBytes = 32 / Mma::kPack;  // of eight values
      const int byte = (t + 4 * i) * kBytes;
      unsigned words[kBytes / 4];
      for (int j = 0; j < kBytes / 4; ++j) {
        float part[Mma::kPack];
        for (int k = 0; k < Mma::kPack; ++k) part[k] = values[i][j * Mma::kPack + k];
        words[j] = Mma::pack(part);
      }
      char* place = queries + QueryMatrix::unit(lane.row[half] % kConsumerRows, byte / 16);
      if constexpr (kBytes == 8) {
        *reinterpret_cast<uint2*>(place + byte % 16) = {words[0], words[1]};
      } else {
        *reinterpret_cast<uint4*>(place) = {words[0], words[1], words[2], words[3]};
      }
    }
  }
}

// A consumer's queries as wgmma takes them, once they are in shared memory. Those of the first
// kQuerySteps products of S stay in registers: each tile's products would read them from shared
// memory anew, a fifth of all that wgmma reads there, and power is what limits them.
class Queries {
 public:
  static constexpr int kSteps = QueryMatrix::kRowBytes / 32;

  explicit __device__ Queries(unsigned shared) : shared_(QueryMatrix::descriptor(shared)) {
    const int row = warp_id() % 4 * 16 + lane_id() % 16;
#pragma unroll
    for (int step = 0; step < kQuerySteps; ++step) {
      ldmatrix_x4(held_[step], shared + QueryMatrix::unit(row, 2 * step + lane_id() / 16));
    }
  }

  // The operand of one product: registers, or a descriptor.
  template <int kStep>
  __device__ decltype(auto) operand() const {
    if constexpr (kStep < kQuerySteps) {
      return (held_[kStep]);
    } else {
      return shared_ + QueryMatrix::along(32 * kStep);
    }
  }

 private:
  unsigned held_[kQuerySteps > 0 ? kQuerySteps : 1][4];
  unsigned long long shared_;
};

}  // namespace octavo
