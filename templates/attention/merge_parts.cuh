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

  // Joins other parts, in their order, so that the bits depend on nothing else.
  template <int kCount>
  __device__ void join(const RowPart (&parts)[kCount]) {
    float largest = maximum;
    for (const RowPart& part : parts) largest = fmaxf(largest, part.maximum);
    scale(ex2_approx_ftz(maximum - finite(largest)));
    maximum = largest;
#pragma unroll
    for (const RowPart& part : parts) {
      const float weight = ex2_approx_ftz(part.maximum - finite(largest));
      sum += weight * part.sum;
      for (int i = 0; i < 2; ++i) outputs[i] += weight * part.outputs[i];
    }
  }

  __device__ void scale(float factor) {
    sum *= factor;
    for (float& output : outputs) output *= factor;
  }
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

// Splits lie in global memory, a row of each as strips of 64 dims, two a lane. Their numbers are
// kept as complements: where a word is zero nobody has written it yet, as no arithmetic gives the
// NaN that zero would stand for. So each word tells by itself whether it is there. Who has read it
// sets it back to zero.
constexpr int kStrips = (kPairs + 31) / 32;  // of a row

struct SplitStrip {
  uint2* outputs;            // of this lane's pair, of the first split
  uint2* sums;               // the row's maximum and sum, which each of its strips has
  long long outputs_stride;  // from one split to the next
  long long sums_stride;

  __device__ SplitStrip(const DecodeArguments& arguments, long long index, int pair)
      : outputs(reinterpret_cast<uint2*>(arguments.partial_output) + index * kPairs + pair),
        sums(reinterpret_cast<uint2*>(arguments.partial_sums) + index * kStrips + pair / 32) {
    const long long rows = static_cast<long long>(arguments.batch.tokens) * kQueryHeads;
    outputs_stride = rows * kPairs, sums_stride = rows * kStrips;
  }

  __device__ void write(int split, int pair, const RowPart& part) const {
    st_relaxed_gpu(outputs + split * outputs_stride, complement(part.outputs[0], part.outputs[1]));
    if (pair % 32 != 0) return;
    st_relaxed_gpu(sums + split * sums_stride, complement(part.maximum, part.sum));
  }

 private:
  static __device__ uint2 complement(float x, float y) {
    return {~__float_as_uint(x), ~__float_as_uint(y)};
  }
};

// Splits that are merged at once; each kAtOnce neighbouring lanes know a number of each of them.
constexpr int kAtOnce = 8;

inline __device__ float max_at_once(float value) {
  for (int mask = kAtOnce / 2; mask > 0; mask /= 2) {
    value = fmaxf(value, __shfl_xor_sync(0xffffffff, value, mask));
  }
  return value;
}

inline __device__ float sum_at_once(float value) {
  for (int mask = kAtOnce / 2; mask > 0; mask /= 2) {
    value += __shfl_xor_sync(0xffffffff, value, mask);
  }
  return value;
}

// Waits for a strip's splits and merges them, kAtOnce at a time; lanes of a split's number read its
// maximum and sum. Nothing branches, since this is the end that all else waits for, and lanes
// leave the wait together, without which the compiler writes all that follows twice.
// `has_pair`: of the row's strips the last one may be narrower than the warp.
inline __device__ RowPart merge_strip(SplitStrip strip, int splits, bool has_pair) {
  RowPart row;
#pragma unroll 1
  for (; splits > 0; splits -= kAtOnce) {
    const int split = lane_id() % kAtOnce;
    uint2* const of_lane = strip.sums + split * strip.sums_stride;
    const bool has_sums = split < splits;
    const int pairs = has_pair ? splits : 0;
    uint2 outputs[kAtOnce], sums;
    unsigned least;
    do {
      const uint2* from = strip.outputs;
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i, from += strip.outputs_stride) {
        outputs[i] = ld_relaxed_gpu_if(i < pairs, from);
      }
      sums = ld_relaxed_gpu_if(has_sums, of_lane);
      least = min(sums.x, sums.y);
      for (const uint2& pair : outputs) least = min(least, min(pair.x, pair.y));
    } while (__any_sync(0xffffffff, least == 0));

    const float maximum = has_sums ? __uint_as_float(~sums.x) : minus_infinity();
    const float largest = fmaxf(row.maximum, max_at_once(maximum));
    const float weight = ex2_approx_ftz(maximum - finite(largest));
    row.scale(ex2_approx_ftz(row.maximum - finite(largest)));
    row.maximum = largest;
    row.sum += sum_at_once(has_sums ? weight * __uint_as_float(~sums.y) : 0);
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i, strip.outputs += strip.outputs_stride) {
      const float of_split = __shfl_sync(0xffffffff, weight, i);
      row.outputs[0] += of_split * __uint_as_float(~outputs[i].x);
      row.outputs[1] += of_split * __uint_as_float(~outputs[i].y);
      st_global_if(i < pairs, strip.outputs, {0, 0});
    }
    st_global_if(has_sums, of_lane, {0, 0});
    strip.sums += kAtOnce * strip.sums_stride;
  }
  return row;
}

// Merges the splits of the block's rows, and leaves their memory as zeros.
inline __device__ void merge_splits(const DecodeArguments& arguments, const Rows& rows) {
#pragma unroll 1
  for (int strip = warp_id(); strip < rows.count * kStrips; strip += kThreads / 32) {
    const int row = strip / kStrips, pair = strip % kStrips * 32 + lane_id();
    const long long index = index_of(rows, row);
    const bool has_pair = pair < kPairs;
    const RowPart merged =
        merge_strip(SplitStrip(arguments, index, pair), arguments.splits, has_pair);
    if (has_pair) finish(arguments, index, rows.head(row), pair, merged);
  }
}

}  // namespace octavo
