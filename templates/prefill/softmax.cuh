#pragma once

#include "prefill/products.cuh"
#include "ptx/special.cuh"

namespace octavo {

// A lane's two columns' numbers, of as many as a tile has tokens.
inline __device__ float2 column_pair(const float* numbers, int tile) {
  return reinterpret_cast<const float2*>(numbers)[4 * tile + lane_id() % 4];
}

// A consumer's online softmax, in base 2. A lane keeps rows g and g + 8 of its warp's 16.
class Softmax {
 public:
  // `row` is the lane's rows in the block, and `scale` that of their queries.
  __device__ Softmax(const PrefillArguments& arguments, const Rows& rows, const int (&row)[2],
                     const float (&scale)[2]) {
    const float logit_scale = kLogitScale * Scale::of_head(arguments.cache.k_scale, rows.kv_head);
    for (int half = 0; half < 2; ++half) {
      logit_scale_[half] = logit_scale * scale[half];
      position_[half] = rows.position(min(row[half], rows.count - 1));
      maximum[half] = minus_infinity();
      sum[half] = 0;
    }
    all_see_from_ = Mask::first(rows.position(rows.count - 1));
    all_see_to_ = Mask::end(rows.position(0), rows.kv_length);
    kv_length_ = rows.kv_length;
  }

  // Scores become logits; those of tokens that a row does not see become minus infinity.
  __device__ void scale(Scores& scores, const float* key_scales, int first_token) const {
    if constexpr (Scale::kPerToken) {
#pragma unroll
      for (int tile = 0; tile < kTokenTiles; ++tile) {
        const float2 scale = column_pair(key_scales, tile);
        for (int j = 0; j < 4; ++j) scores[4 * tile + j] *= j % 2 == 0 ? scale.x : scale.y;
      }
    }
    if constexpr (Softcap::kOn) {
#pragma unroll
      for (int i = 0; i < kTileTokens / 2; ++i) {
        scores[i] = Softcap::apply(scores[i] * logit_scale_[i / 2 % 2]);
      }
    }
    if (first_token < all_see_from_ || first_token + kTileTokens > all_see_to_) {
      hide(scores, first_token);
    }
  }

  // Logits become weights. O is to be multiplied by `factor` before they join it.
  __device__ void weigh(Weights& weights, float (&factor)[2], Scores& scores,
                        const float* factors) {
    for (int half = 0; half < 2; ++half) factor[half] = exponentiate(scores, half);
    Mma::WeightSum sums[2];
#pragma unroll
    for (int step = 0; step < kTileSteps; ++step) pack(weights[step], scores, factors, step, sums);
    for (int half = 0; half < 2; ++half) sum[half] += sums[half].value();
    if constexpr (Scale::kPerToken) {
      for (float& value : factor) value *= factors[kTileTokens];
    }
  }

  float maximum[2];  // of the logits, in base 2, rounded up
  float sum[2];      // over the tokens of this lane's columns

 private:
  __device__ void hide(Scores& scores, int first_token) const {
    const int column = first_token + lane_id() % 4 * 2;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      unsigned position[1] = {static_cast<unsigned>(position_[half])};
      hold(position);  // its limits are not worth registers all the while
      const int first = Mask::first(position[0]) - column;
      const int end = Mask::end(position[0], kv_length_) - column;
#pragma unroll
      for (int i = 0; i < kTileTokens / 4; ++i) {
        const int token = 8 * (i / 2) + i % 2;
        if (token < first || token >= end) scores[i / 2 * 4 + 2 * half + i % 2] = minus_infinity();
      }
    }
  }

  // Returns what the row's weights so far are to be multiplied by. They are relative to the power
  // of two next above the maximum, so that how a weight is rounded does not depend on what came
  // before it.
  __device__ float exponentiate(Scores& scores, int half) {
    float largest = minus_infinity();
#pragma unroll
    for (int tile = 0; tile < kTokenTiles; ++tile) {
      const int i = 4 * tile + 2 * half;
      largest = fmaxf(largest, fmaxf(scores[i], scores[i + 1]));
    }
    const float scale = Softcap::kOn ? 1 : logit_scale_[half];
    largest = fmaxf(maximum[half], ceilf(quad_max(largest) * scale));
    const float correction = ex2_approx_ftz(maximum[half] - finite(largest));
    const float anchor = finite(largest) - Mma::kWeightExponent;
    maximum[half] = largest;
    sum[half] *= correction;
#pragma unroll
    for (int tile = 0; tile < kTokenTiles; ++tile) {
      for (int j = 0; j < 2; ++j) {
        float& score = scores[4 * tile + 2 * half + j];
        score = ex2_approx_ftz(fmaf(score, scale, -anchor));
      }
    }
    return correction;
  }

  // The weights of one product as its first operand: registers are upper and lower rows of the
  // first half of the tokens, then of the second.
  __device__ void pack(unsigned (&a)[4], const Scores& weights, const float* factors, int step,
                       Mma::WeightSum (&sums)[2]) {
    constexpr int kTiles = Mma::kPack / 2;  // of 8 tokens, in a register
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int half = i % 2;
      const int first = step * Mma::kStepTokens / 8 + i / 2 * kTiles;
      float values[Mma::kPack];
      float ratio[Mma::kPack];
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile) {
        float2 pair = {1, 1};
        if constexpr (Scale::kPerToken) pair = column_pair(factors, first + tile);
        ratio[2 * tile] = pair.x, ratio[2 * tile + 1] = pair.y;
        for (int j = 0; j < 2; ++j) {
          values[2 * tile + j] = weights[4 * (first + tile) + 2 * half + j];
        }
      }
      a[i] = Mma::weights(values, ratio, sums[half]);
    }
  }

  float logit_scale_[2];
  int position_[2];  // of the lane's rows
  int kv_length_;
  int all_see_from_;  // tokens from here..
  int all_see_to_;    // ..to before here are seen by all the block's rows
};

}  // namespace octavo
