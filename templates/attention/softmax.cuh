#pragma once

#include "attention/products.cuh"
#include "ptx/special.cuh"

namespace octavo {

// V's scales of a tile's tokens multiply P, relative to the largest scale so far, so that P stays
// within its format; O is in units of that largest scale.
struct ValueScales {
  float ratio[kTokenTiles][2];  // scale / largest

  // Returns what O's unit shrinks by.
  __device__ float update(float& largest, const char* scales) {
    const float before = largest;
#pragma unroll
    for (int i = 0; i < kTokenTiles; ++i) {
      const float2 pair =
          *reinterpret_cast<const float2*>(scales + (8 * i + lane_id() % 4 * 2) * 4);
      ratio[i][0] = pair.x, ratio[i][1] = pair.y;
      largest = fmaxf(largest, fmaxf(pair.x, pair.y));
    }
    largest = quad_max(largest);
    const float inverse = rcp_approx_ftz(fmaxf(largest, 0x1p-126f));
    for (auto& pair : ratio) pair[0] *= inverse, pair[1] *= inverse;
    return before * inverse;
  }
};

// A warp's online softmax, in base 2. A lane keeps rows g and g + 8 of each row tile.
class Softmax {
 public:
  __device__ Softmax(const DecodeArguments& arguments, const Rows& rows, const Query& query)
      : rows_(rows) {
    const float scale = kLogitScale * Scale::of_head(arguments.cache.k_scale, rows.kv_head);
#pragma unroll
    for (int tile = 0; tile < kRowTiles; ++tile) {
      for (int half = 0; half < 2; ++half) {
        logit_scale_[tile][half] = scale * query.scale[tile][half];
        maximum[tile][half] = minus_infinity();
        sum[tile][half] = 0;
      }
    }
    unit = Scale::kPerToken ? 0 : Scale::of_head(arguments.cache.v_scale, rows.kv_head);
    all_see_from_ = Mask::first(rows.position(rows.count - 1));
    all_see_to_ = Mask::end(rows.position(0), rows.kv_length);
  }

  // Turns the scores of the tile at `first_token` into weights, rescaling what came before. A row's
  // sum takes the weights as they were rounded, so that P / sum adds up to 1 exactly.
  __device__ void update(Weights& weights, Outputs& outputs, Scores& scores, const char* tile,
                         int first_token) {
    scale_scores(scores, tile);
    if (first_token < all_see_from_ || first_token + kTileTokens > all_see_to_) {
      hide(scores, first_token);
    }
    ValueScales value_scales;
    float shrink = 1;
    if constexpr (Scale::kPerToken) shrink = value_scales.update(unit, tile + kValueScalesOffset);
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
      float correction[2];
      for (int half = 0; half < 2; ++half) correction[half] = exponentiate(scores[i], i, half);
      rescale(outputs[i], correction[0] * shrink, correction[1] * shrink);
      Mma::WeightSum sums[2];
#pragma unroll
      for (int step = 0; step < kTileSteps; ++step) {
        pack(weights[step][i], scores[i], value_scales, step, sums);
      }
      for (int half = 0; half < 2; ++half) sum[i][half] += sums[half].value();
    }
  }

  float maximum[kRowTiles][2];  // of the logits, rounded up
  float sum[kRowTiles][2];      // over the tokens of this lane's columns
  float unit;                   // of O, as V's scales have it

 private:
  __device__ void scale_scores(Scores& scores, const char* tile) {
#pragma unroll
    for (int i = 0; i < kTokenTiles; ++i) {
      float2 key_scale = {1, 1};
      if constexpr (Scale::kPerToken) {
        const char* scales = tile + kKeyScalesOffset;
        key_scale = *reinterpret_cast<const float2*>(scales + (8 * i + lane_id() % 4 * 2) * 4);
      }
#pragma unroll
      for (int row_tile = 0; row_tile < kRowTiles; ++row_tile) {
        for (int j = 0; j < 4; ++j) {
          float& score = scores[row_tile][i][j];
          const float scale =
              (j % 2 == 0 ? key_scale.x : key_scale.y) * logit_scale_[row_tile][j / 2];
          score = Softcap::apply(score * scale);
        }
      }
    }
  }

  // Scores of tokens that a row does not see become minus infinity.
  __device__ void hide(Scores& scores, int first_token) {
#pragma unroll
    for (int tile = 0; tile < kRowTiles; ++tile) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int position = rows_.position(16 * tile + lane_id() / 4 + 8 * half);
        const int column = first_token + lane_id() % 4 * 2;
        const int first = Mask::first(position) - column;
        const int end = Mask::end(position, rows_.kv_length) - column;
#pragma unroll
        for (int i = 0; i < kTokenTiles; ++i) {
          for (int j = 0; j < 2; ++j) {
            if (8 * i + j < first || 8 * i + j >= end)
              scores[tile][i][2 * half + j] = minus_infinity();
          }
        }
      }
    }
  }

  // Scores of one row become weights. Returns what its weights so far are to be multiplied by. They
  // are relative to the power of two next above the maximum, so that how a weight is rounded does
  // not depend on what came before it.
  __device__ float exponentiate(float (&scores)[kTokenTiles][4], int tile, int half) {
    float largest = minus_infinity();
#pragma unroll
    for (int i = 0; i < kTokenTiles; ++i) {
      largest = fmaxf(largest, fmaxf(scores[i][2 * half], scores[i][2 * half + 1]));
    }
    largest = fmaxf(maximum[tile][half], ceilf(quad_max(largest)));
    const float correction = ex2_approx_ftz(maximum[tile][half] - finite(largest));
    const float anchor = finite(largest) - Mma::kWeightExponent;
#pragma unroll
    for (int i = 0; i < kTokenTiles; ++i) {
      for (int j = 0; j < 2; ++j) {
        scores[i][2 * half + j] = ex2_approx_ftz(scores[i][2 * half + j] - anchor);
      }
    }
    maximum[tile][half] = largest;
    sum[tile][half] *= correction;
    return correction;
  }

  // The maximum seldom changes after the first tiles, and then there is nothing to do.
  static __device__ void rescale(float (&outputs)[kDimTiles][4], float upper, float lower) {
    if (!__any_sync(0xffffffff, upper != 1 || lower != 1)) return;
#pragma unroll
    for (int i = 0; i < kDimTiles; ++i) {
      outputs[i][0] *= upper, outputs[i][1] *= upper;
      outputs[i][2] *= lower, outputs[i][3] *= lower;
    }
  }

  // The weights of one product as its first operand: registers are upper and lower rows of the
  // first half of the tokens, then of the second.
  __device__ void pack(unsigned (&a)[4], const float (&weights)[kTokenTiles][4],
                       const ValueScales& value_scales, int step, Mma::WeightSum (&sums)[2]) {
    constexpr int kTiles = Mma::kPack / 2;  // of 8 tokens, in a register
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int half = i % 2;
      const int first = step * Mma::kStepTokens / 8 + i / 2 * kTiles;
      float values[Mma::kPack];
      float ratio[Mma::kPack];
      for (int j = 0; j < Mma::kPack; ++j) {
        values[j] = weights[first + j / 2][2 * half + j % 2];
        ratio[j] = Scale::kPerToken ? value_scales.ratio[first + j / 2][j % 2] : 1;
      }
      a[i] = Mma::weights(values, ratio, sums[half]);
    }
  }

  const Rows& rows_;
  float logit_scale_[kRowTiles][2];
  int all_see_from_;  // tokens from here..
  int all_see_to_;    // ..to before here are seen by all the block's rows
};

}  // namespace octavo
