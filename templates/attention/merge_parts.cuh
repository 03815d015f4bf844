#pragma once

#include "attention/rows.cuh"
#include "ptx/relaxed.cuh"
#include "ptx/special.cuh"

namespace octavo {

constexpr int kPairs = kHeadDimV / 2;  // values are merged and written two at a time

// A row's softmax over some of the tokens, of which this thread has two output dims: weights are
// 2^(logit - maximum), their sum is `sum`, and the outputs are sums of weights times values. Over
// no tokens the maximum is minus infinity and all else is zero.
struct RowPart {
  float maximum = minus_infinity();
  float sum = 0;
  float outputs[2] = {};
};

// The end of a row: the sink joins, and output and log-sum-exp (natural, the sink included: the
// logarithm of what the output was divided by) are written.
inline __device__ void finish(const DecodeArguments& arguments, long long index, int head, int pair,
                              const RowPart& row) {
  float lse = row.maximum + lg2_approx_ftz(row.sum);
  const float share = Sinks::join(arguments, head, lse);
  const float factor = row.sum > 0 ? share * rcp_approx_ftz(row.sum) : 0;
  float scaled[8] = {};  // formats pack eight
  for (int i = 0; i < 2; ++i) {
    scaled[i] = Output::scaled(row.outputs[i] * factor, arguments.output_scale);
  }
  unsigned words[2 * Output::kBytes];
  Output::pack(words, scaled);
  if constexpr (Output::kBytes == 2) {
    reinterpret_cast<unsigned*>(arguments.output)[index * kPairs + pair] = words[0];
  } else {
    reinterpret_cast<unsigned short*>(arguments.output)[index * kPairs + pair] =
        static_cast<unsigned short>(words[0]);
  }
  if (pair == 0 && arguments.lse != 0) {
    constexpr float kLn2 = 0.693147181f;
    reinterpret_cast<float*>(arguments.lse)[index] = lse * kLn2;
  }
}

// Splits lie in global memory, a row of each as strips of 64 dims, two a lane. A word has two
// numbers; it is zero where nobody has written it yet, as the first one never is +0. So each word
// tells by itself whether it is there. Who has read it sets it back to zero.
using Word = unsigned long long;
constexpr Word kNothing = 0x80000000;        // -0 and +0
constexpr int kStrips = (kPairs + 31) / 32;  // of a row

inline __device__ Word word_of(float first, float second) {
  const unsigned not_zero = first == 0 ? 0x80000000 : __float_as_uint(first);
  return static_cast<Word>(__float_as_uint(second)) << 32 | not_zero;
}
inline __device__ float first_of(Word word) { return __uint_as_float(static_cast<unsigned>(word)); }
inline __device__ float second_of(Word word) {
  return __uint_as_float(static_cast<unsigned>(word >> 32));
}

struct SplitStrip {
  Word* outputs;             // of this lane's pair, of the first split
  Word* sums;                // the row's maximum and sum, which each of its strips has
  long long outputs_stride;  // from one split to the next
  long long sums_stride;

  __device__ SplitStrip(const DecodeArguments& arguments, long long index, int pair)
      : outputs(reinterpret_cast<Word*>(arguments.partial_output) + index * kPairs + pair),
        sums(reinterpret_cast<Word*>(arguments.partial_sums) + index * kStrips + pair / 32) {
    const long long rows = static_cast<long long>(arguments.batch.tokens) * kQueryHeads;
    outputs_stride = rows * kPairs, sums_stride = rows * kStrips;
  }

  __device__ void write(int split, int pair, const RowPart& part) const {
    st_relaxed_gpu(outputs + split * outputs_stride, word_of(part.outputs[0], part.outputs[1]));
    if (pair % 32 != 0) return;
    st_relaxed_gpu(sums + split * sums_stride, word_of(part.maximum, part.sum));
  }
};

// A strip's splits are merged as many at once as a warp holds, so that all are on their way at a
// time: a half of the warp takes every other one, four dims a lane, kOfHalf of them. Lane l of each
// kOfHalf knows the maximum and the sum of its half's lth.
constexpr int kOfHalf = 8;

template <class Join>
inline __device__ float join_splits(float value, const Join& join) {
#pragma unroll
  for (int mask = 1; mask < kOfHalf; mask *= 2) {
    value = join(value, __shfl_xor_sync(0xffffffff, value, mask));
  }
  return join(value, __shfl_xor_sync(0xffffffff, value, 16));
}

// Waits for a strip's splits and merges them. `strip` begins at the lane's four dims, of which it
// is given the first or the last two, by its half. Little branches, since this is the end that all
// else waits for, and lanes leave the wait together, without which the compiler writes all that
// follows twice. `has_quad`: of the row's strips the last one may be narrower than the warp.
inline __device__ RowPart merge_strip(SplitStrip strip, int splits, bool has_quad) {
  const int half = lane_id() / 16;
  strip.outputs += half * strip.outputs_stride;
  strip.sums += (2 * (lane_id() % kOfHalf) + half) * strip.sums_stride;
  RowPart row;
  float quad[4] = {};
#pragma unroll 1
  for (; splits > 0; splits -= 2 * kOfHalf) {
    const bool has_sums = 2 * (lane_id() % kOfHalf) + half < splits;
    const auto has = [&](int i) { return has_quad && 2 * i + half < splits; };
    ulonglong2 outputs[kOfHalf];
    Word sums;
    unsigned least;
    do {
      const Word* from = strip.outputs;
#pragma unroll
      for (int i = 0; i < kOfHalf; ++i, from += 2 * strip.outputs_stride) {
        outputs[i] = ld_relaxed_gpu_if(has(i), reinterpret_cast<const ulonglong2*>(from), kNothing);
      }
      sums = ld_relaxed_gpu_if(has_sums, strip.sums, kNothing);
      least = static_cast<unsigned>(sums);
      for (const ulonglong2& words : outputs) {
        least = min(least, min(static_cast<unsigned>(words.x), static_cast<unsigned>(words.y)));
      }
    } while (__any_sync(0xffffffff, least == 0));

    const float maximum = has_sums ? first_of(sums) : minus_infinity();
    const float of_splits = join_splits(maximum, [](float a, float b) { return fmaxf(a, b); });
    const float largest = fmaxf(row.maximum, of_splits);
    const float weight = ex2_approx_ftz(maximum - finite(largest));
    const float factor = ex2_approx_ftz(row.maximum - finite(largest));
    const float sum = join_splits(weight * second_of(sums), [](float a, float b) { return a + b; });
    row.maximum = largest;
    row.sum = row.sum * factor + sum;
    for (float& output : quad) output *= factor;
#pragma unroll
    for (int i = 0; i < kOfHalf; ++i, strip.outputs += 2 * strip.outputs_stride) {
      const float of_split = __shfl_sync(0xffffffff, weight, 16 * half + i);
      quad[0] += of_split * first_of(outputs[i].x);
      quad[1] += of_split * second_of(outputs[i].x);
      quad[2] += of_split * first_of(outputs[i].y);
      quad[3] += of_split * second_of(outputs[i].y);
      st_zero_global_if(has(i), reinterpret_cast<ulonglong2*>(strip.outputs));
    }
    st_zero_global_if(has_sums, strip.sums);
    strip.sums += 2 * kOfHalf * strip.sums_stride;
  }
  for (int i = 0; i < 2; ++i) {
    const float others = half == 0 ? quad[2 + i] : quad[i];
    row.outputs[i] = (half == 0 ? quad[i] : quad[2 + i]) + __shfl_xor_sync(0xffffffff, others, 16);
  }
  return row;
}

// Merges the splits of the block's rows, and leaves their memory as zeros.
inline __device__ void merge_splits(const DecodeArguments& arguments, const Rows& rows) {
#pragma unroll 1
  for (int strip = warp_id(); strip < rows.count * kStrips; strip += kThreads / 32) {
    const int row = strip / kStrips, quad = strip % kStrips * 16 + lane_id() % 16;
    const long long index = index_of(rows, row);
    const bool has_quad = quad < kHeadDimV / 4;
    const SplitStrip splits(arguments, index, 2 * quad);
    const RowPart merged = merge_strip(splits, arguments.splits, has_quad);
    if (has_quad) finish(arguments, index, rows.head(row), 2 * quad + lane_id() / 16, merged);
  }
}

}  // namespace octavo
