#pragma once

#include "attention/rows.cuh"
#include "ptx/special.cuh"

namespace octavo {

constexpr int kQuads = kHeadDimV / 4;  // values are written four at a time

// The end of four dims of a row: the sink joins, and output and log-sum-exp (natural, the sink
// included: the logarithm of what the output was divided by) are written.
inline __device__ void finish(const DecodeArguments& arguments, const Rows& rows, int row, int quad,
                              const float (&values)[4], float lse) {
  const float share = Sinks::join(arguments, rows.head(row), lse);
  float scaled[8] = {};  // formats pack eight
  for (int i = 0; i < 4; ++i) scaled[i] = Output::scaled(values[i] * share, arguments.output_scale);
  unsigned words[2 * Output::kBytes];
  Output::pack(words, scaled);
  const long long index = index_of(rows, row);
  unsigned* output = reinterpret_cast<unsigned*>(arguments.output) +
                     (index * kHeadDimV + quad * 4) * Output::kBytes / 4;
  if constexpr (Output::kBytes == 2) {
    *reinterpret_cast<uint2*>(output) = {words[0], words[1]};
  } else {
    *output = words[0];
  }
  if (quad == 0 && arguments.lse != 0) {
    constexpr float kLn2 = 0.693147181f;
    reinterpret_cast<float*>(arguments.lse)[index] = lse * kLn2;
  }
}

// Merges the splits' partial results of the block's rows, in the order of the splits whoever does
// it, so that the bits depend on nothing else. An empty split has zeros and a log-sum-exp of minus
// infinity. Splits are read kBatch at a time: the latency of memory is what a merge waits for.
inline __device__ void merge_rows(const DecodeArguments& arguments, const Rows& rows) {
  constexpr int kBatch = 8;
  const float* partial_lse = reinterpret_cast<const float*>(arguments.partial_lse);
  const float4* partial_output = reinterpret_cast<const float4*>(arguments.partial_output);
  const long long stride = static_cast<long long>(arguments.batch.tokens) * kQueryHeads;
  for (int i = threadIdx.x; i < rows.count * kQuads; i += kThreads) {
    const int row = i / kQuads;
    const int quad = i % kQuads;
    const long long index = index_of(rows, row);
    float maximum = minus_infinity();
    float total = 0;
    float values[4] = {};
#pragma unroll 1
    for (int first = 0; first < arguments.splits; first += kBatch) {
      float lse[kBatch];
      float4 part[kBatch];
      float largest = maximum;
#pragma unroll
      for (int j = 0; j < kBatch; ++j) {  // past the end, the last one again, without weight
        const long long from = min(first + j, arguments.splits - 1) * stride + index;
        const float from_lse = partial_lse[from];
        lse[j] = first + j < arguments.splits ? from_lse : minus_infinity();
        part[j] = partial_output[from * kQuads + quad];
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
        values[0] += weight * part[j].x, values[1] += weight * part[j].y;
        values[2] += weight * part[j].z, values[3] += weight * part[j].w;
      }
    }
    const float reciprocal = total > 0 ? 1 / total : 0;
    for (float& value : values) value *= reciprocal;
    finish(arguments, rows, row, quad, values, maximum + lg2_approx_ftz(total));
  }
}

}  // namespace octavo
