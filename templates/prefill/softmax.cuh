#pragma once

#include "prefill/products.cuh"
#include "ptx/in_place.cuh"
#include "ptx/special.cuh"

namespace octavo {

// A lane's two columns' numbers, of as many as a tile has tokens.
inline __device__ float2 column_pair(const float* numbers, int tile) {
  return ld_shared(reinterpret_cast<const float2*>(numbers) + 4 * tile + lane_id() % 4);
}

// A consumer's online softmax, in base 2. A lane keeps rows g and g + 8 of its warp's 16.
class Softmax {
 public:
  // `scale` is that of the lane's rows' queries.
  __device__ Softmax(const Sight& sight, float logit_scale, const float (&scale)[2])
      : sight_(sight) {
    for (int half = 0; half < 2; ++half) {
      logit_scale_[half] = logit_scale * scale[half];
      offset[half] = kNoOffset;
    }
  }

  // Whether there are rows that do not see all tokens of a tile.
  __device__ bool hides(int first_token) const {
    return first_token < sight_.from || first_token + kTileTokens > sight_.to;
  }

  // Scores become logits; those of tokens that a row does not see become minus infinity.
  __device__ void scale(Scores& scores, const float* key_scales, bool hides,
                        int first_token) const {
    if constexpr (Scale::kPerToken) {
#pragma unroll
      for (int tile = 0; tile < kTokenTiles; ++tile) {
        const float2 scale = column_pair(key_scales, tile);
        for (int j = 0; j < 4; ++j) {
          mul_rn_f32(scores[4 * tile + j], j % 2 == 0 ? scale.x : scale.y);
        }
      }
    }
    if constexpr (Softcap::kOn) {
#pragma unroll
      for (int i = 0; i < kTileTokens / 2; ++i) {
        scores[i] = Softcap::apply(scores[i] * logit_scale_[i / 2 % 2]);
      }
    }
    if (hides) hide(scores, first_token);
  }

  // The offset falls to that of a tile's logits: what the weights so far are to be multiplied by.
  __device__ void lower(float (&correction)[2], const Scores& scores) {
    for (int half = 0; half < 2; ++half) correction[half] = lower(scores, half);
  }

  // Logits become weights, each times its token's factor. They are relative to the power of two
  // next above the maximum, so that how a weight is rounded does not depend on what came before it.
  __device__ void weigh(Scores& scores, const float* factor_exponents) const {
#pragma unroll
    for (int tile = 0; tile < kTokenTiles; ++tile) {
      float2 exponent = {0, 0};
      if constexpr (Scale::kPerToken) exponent = column_pair(factor_exponents, tile);
      for (int j = 0; j < 4; ++j) {
        const int half = j / 2;
        float& score = scores[4 * tile + j];
        const float factor = j % 2 == 0 ? exponent.x : exponent.y;
        score = ex2_approx_ftz(fmaf(score, scale_of(half), factor + offset[half]));
      }
    }
  }

  // What makes logits, in base 2, the exponents of weights: Mma::kWeightExponent less their
  // maximum, rounded up.
  float offset[2];

 private:
  __device__ void hide(Scores& scores, int first_token) const {
    const int column = first_token + lane_id() % 4 * 2;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int position = sight_.position[row_of_lane(half)];
      const int first = Mask::first(position) - column;
      const int end = Mask::end(position, sight_.kv_length) - column;
#pragma unroll
      for (int i = 0; i < kTileTokens / 4; ++i) {
        const int token = 8 * (i / 2) + i % 2;
        if (token < first || token >= end) scores[i / 2 * 4 + 2 * half + i % 2] = minus_infinity();
      }
    }
  }

  __device__ float scale_of(int half) const { return Softcap::kOn ? 1 : logit_scale_[half]; }

  __device__ float lower(const Scores& scores, int half) {
    float largest = minus_infinity();
#pragma unroll
    for (int tile = 0; tile < kTokenTiles; ++tile) {
      const int i = 4 * tile + 2 * half;
      largest = fmaxf(largest, fmaxf(scores[i], scores[i + 1]));
    }
    const float before = offset[half];
    largest = ceilf(quad_max(largest) * scale_of(half));
    offset[half] = fminf(before, Mma::kWeightExponent - largest);
    return ex2_approx_ftz(offset[half] - before);
  }

  // Before any logit: beside it minus infinity is the exponent of no weight, any logit's offset far
  // below.
  static constexpr float kNoOffset = 0x1p100f;

  const Sight& sight_;
  float logit_scale_[2];
};

}  // namespace octavo
