#pragma once

#include "attention/rows.cuh"
#include "ptx/memory.cuh"
#include "ptx/special.cuh"

namespace octavo {

constexpr int kOctets = kHeadDimV / 8;  // values are written eight at a time

// The end of eight dims of a row: the sink joins, and output and log-sum-exp (natural, the sink
// included: the logarithm of what the output was divided by) are written.
inline __device__ void finish(const DecodeArguments& arguments, const Rows& rows, int row,
                              int octet, float (&values)[8], float lse) {
  const float share = Sinks::join(arguments, rows.head(row), lse);
  for (float& value : values) value = Output::scaled(value * share, arguments.output_scale);
  unsigned words[2 * Output::kBytes];
  Output::pack(words, values);
  const long long index = index_of(rows, row);
  st_global(arguments.output + (index * kHeadDimV + octet * 8) * Output::kBytes, words);
  if (octet == 0 && arguments.lse != 0) {
    constexpr float kLn2 = 0.693147181f;
    reinterpret_cast<float*>(arguments.lse)[index] = lse * kLn2;
  }
}

// Merges the splits' partial results of the block's rows, in the order of the splits whoever does it,
// so that the bits depend on nothing else. An empty split has a log-sum-exp of minus infinity and
// wrote nothing else.
inline __device__ void merge_rows(const DecodeArguments& arguments, const Rows& rows) {
  const float* partial_lse = reinterpret_cast<const float*>(arguments.partial_lse);
  const float* partial_output = reinterpret_cast<const float*>(arguments.partial_output);
  const long long stride = static_cast<long long>(arguments.batch.tokens) * kQueryHeads;
  for (int i = threadIdx.x; i < rows.count * kOctets; i += kThreads) {
    const int row = i / kOctets;
    const int octet = i % kOctets;
    const long long index = index_of(rows, row);
    float maximum = minus_infinity();
#pragma unroll 4
    for (int split = 0; split < arguments.splits; ++split) {
      maximum = fmaxf(maximum, partial_lse[split * stride + index]);
    }
    float values[8] = {};
    float total = 0;
#pragma unroll 4
    for (int split = 0; split < arguments.splits; ++split) {
      const float lse = partial_lse[split * stride + index];
      if (lse == minus_infinity()) continue;
      const float weight = ex2_approx_ftz(lse - maximum);
      const float4* part = reinterpret_cast<const float4*>(
          partial_output + (split * stride + index) * kHeadDimV + octet * 8);
      const float4 low = part[0];
      const float4 high = part[1];
      total += weight;
      values[0] += weight * low.x, values[1] += weight * low.y;
      values[2] += weight * low.z, values[3] += weight * low.w;
      values[4] += weight * high.x, values[5] += weight * high.y;
      values[6] += weight * high.z, values[7] += weight * high.w;
    }
    for (float& value : values) value = total > 0 ? value / total : 0;
    finish(arguments, rows, row, octet, values, maximum + lg2_approx_ftz(total));
  }
}

}  // namespace octavo
