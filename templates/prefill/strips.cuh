#pragma once

#include "prefill/memory.cuh"

namespace octavo {

// The producer's warps take strips of 16 tokens of a tile in turn. What a warp copied it also
// transposes, so that warps need not wait for each other for it.
constexpr int kStrips = kTileTokens / 16;
constexpr int kWarpStrips = (kStrips + 3) / 4;

inline __device__ int strip_of_warp(int i) { return warp_id() % 4 + 4 * i; }

}  // namespace octavo
