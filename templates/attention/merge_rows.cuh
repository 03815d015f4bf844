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

inline __device__ void add_weighted(float (&sum)[8], const float4 (&part)[2], float weight) {
  for (int i = 0; i < 2; ++i) {
    sum[4 * i] += weight * part[i].x, sum[4 * i + 1] += weight * part[i].y;
    sum[4 * i + 2] += weight * part[i].z, sum[4 * i + 3] += weight * part[i].w;
  }
}

// Merges the splits' partial results of the block's rows, in the order of the splits whoever does it,
// so that the bits depend on nothing else. An empty split has zeros and a log-sum-exp of minus
// infinity. Splits are read kBatch at a time: the latency of memory is what a merge waits for.
inline __device__ void merge_rows(const DecodeArguments& arguments, const Rows& rows) {
  constexpr int kBatch = 8;
  const float* partial_lse = reinterpret_cast<const float*>(arguments.partial_lse);
  const float4* partial_output = reinterpret_cast<const float4*>(arguments.partial_output);
  const long long stride = static_cast<long long>(arguments.batch.tokens) * kQueryHeads;
  for (int i = threadIdx.x; i < rows.count * kOctets; i += kThreads) {
    const int row = i / kOctets;
    const int octet = i % kOctets;
    const long long index = index_of(rows, row);
    float maximum = minus_infinity();
    float total = 0;
    float values[8] = {};
#pragma unroll 1
    for (int first = 0; first < arguments.splits; first += kBatch) {
      float lse[kBatch];
      float4 part[kBatch][2];
      float largest = maximum;
#pragma unroll
      for (int j = 0; j < kBatch; ++j) {  // past the end, the last one again, without weight
        const long long from = min(first + j, arguments.splits - 1) * stride + index;
        const float from_lse = partial_lse[from];
        lse[j] = first + j < arguments.splits ? from_lse : minus_infinity();
        part[j][0] = partial_output[from * (kHeadDimV / 4) + octet * 2];
        part[j][1] = partial_output[from * (kHeadDimV / 4) + octet * 2 + 1];
        largest = fmaxf(largest, lse[j]);
      }
      const float correction = ex2_approx_ftz(maximum - finite(largest));
      maximum = largest;
      total *= correction;
      for (float& value : values) value *= correction;
#pragma unroll
      for (int j = 0; j < kBatch; ++j) {
        const float weight = ex2_approx_ftz(lse[j] - finite(maximum));
        total += weight;
        add_weighted(values, part[j], weight);
      }
    }
    const float reciprocal = total > 0 ? 1 / total : 0;
    for (float& value : values) value *= reciprocal;
    finish(arguments, rows, row, octet, values, maximum + lg2_approx_ftz(total));
  }
}

}  // namespace octavo
