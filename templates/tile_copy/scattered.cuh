#pragma once

#include "prefill/strips.cuh"
#include "ptx/load_if.cuh"

namespace octavo {

// Rows lie anywhere, as pages end inside strips: the warp's lanes copy them, 16 bytes each. Rows
// that are not there or not wanted become zeros.
struct TileCopy {
  static __device__ void start(const PrefillKernelArguments& arguments, const TileRows& rows,
                               const Memory& memory, unsigned keys, unsigned, unsigned values,
                               unsigned) {
    copy<KeyMatrix>(memory.at(keys), arguments.cache, arguments.cache.k, rows);
    copy<Values::Copied>(memory.at(values), arguments.cache, arguments.cache.v, rows);
    fence_proxy_async();
  }

  static __device__ void finish(char*, int) {}

 private:
  template <class To>
  static __device__ void copy(char* to, const KvCache& cache, DeviceAddress from,
                              const TileRows& rows) {
    to += first_strip_of_warp() * To::kStripBytes;
    constexpr int kRounds = kWarpTokens * To::kUnits / 32;
    constexpr int kAtOnce = kRounds % 4 == 0 ? 4 : kRounds % 2 == 0 ? 2 : 1;
#pragma unroll 1
    for (int round = 0; round < kRounds; round += kAtOnce) {
      unsigned words[kAtOnce][4];
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        const int index = 32 * (round + i) + lane_id();
        const int row = rows.row_of(cache, index / To::kUnits);
        const long long first = max(row, 0) * static_cast<long long>(To::kUnits);
        ld_global_if(words[i], from + (first + index % To::kUnits) * 16, row >= 0);
      }
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        const int index = 32 * (round + i) + lane_id(), token = index / To::kUnits;
        if (kStrips % 4 != 0 && 16 * first_strip_of_warp() + token >= kTileTokens) break;
        *reinterpret_cast<uint4*>(to + To::unit(token, index % To::kUnits)) = {
            words[i][0], words[i][1], words[i][2], words[i][3]};
      }
    }
  }
};

}  // namespace octavo
