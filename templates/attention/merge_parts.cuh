#pragma once

#include "attention/rows.cuh"
#include "ptx/special.cuh"

namespace octavo {

constexpr int kQuads = kHeadDimV / 4;  // values are merged and written four at a time

// What the block's rows became over parts of the tokens: its warps' parts, in shared memory, or the
// splits, in global memory. A part has each row's output and its log-sum-exp in base 2, the sink
// left out; an empty part has zeros and minus infinity.
struct Parts {
  const float4* outputs;  // [count, rows, kQuads]
  const float* lse;       // [count, rows]
  int count;
  int rows;        // of a part
  bool of_splits;  // their rows are the batch's; else the block's, and their quads are swizzled
};

// Where a quad of a row of a warp's part is, so that neither the lanes that write nor those that
// read have a bank conflict: a quad is 4 banks, g's row starts at bank 0, and t's quads are a
// multiple of 4 or 8 from each other.
inline __device__ int swizzled_quad(int row, int quad) {
  if constexpr (kQuads % 8 == 0) return quad ^ quad / 8 % 4 * 2 ^ row % 2;
  return quad;
}

inline __device__ Parts parts_of_splits(const DecodeArguments& arguments) {
  return {reinterpret_cast<const float4*>(arguments.partial_output),
          reinterpret_cast<const float*>(arguments.partial_lse), arguments.splits,
          arguments.batch.tokens * kQueryHeads, true};
}

// Four dims of a row.
struct Quad {
  float values[4];
  float lse;
};

// The end of a row: the sink joins, and output and log-sum-exp (natural, the sink included: the
// logarithm of what the output was divided by) are written.
inline __device__ void finish(const DecodeArguments& arguments, long long index, int head, int quad,
                              Quad result) {
  const float share = Sinks::join(arguments, head, result.lse);
  float scaled[8] = {};  // formats pack eight
  for (int i = 0; i < 4; ++i) {
    scaled[i] = Output::scaled(result.values[i] * share, arguments.output_scale);
  }
  unsigned words[2 * Output::kBytes];
  Output::pack(words, scaled);
  unsigned* output = reinterpret_cast<unsigned*>(arguments.output) +
                     (index * kHeadDimV + quad * 4) * Output::kBytes / 4;
  if constexpr (Output::kBytes == 2) {
    *reinterpret_cast<uint2*>(output) = {words[0], words[1]};
  } else {
    *output = words[0];
  }
  if (quad == 0 && arguments.lse != 0) {
    constexpr float kLn2 = 0.693147181f;
    reinterpret_cast<float*>(arguments.lse)[index] = result.lse * kLn2;
  }
}

// Or its end in one split.
inline __device__ void store_part(const DecodeArguments& arguments, long long index, int quad,
                                  const Quad& result) {
  index += blockIdx.x * static_cast<long long>(arguments.batch.tokens) * kQueryHeads;
  if (quad == 0) reinterpret_cast<float*>(arguments.partial_lse)[index] = result.lse;
  reinterpret_cast<float4*>(arguments.partial_output)[index * kQuads + quad] = {
      result.values[0], result.values[1], result.values[2], result.values[3]};
}

// The sum over the two lanes of a quad.
inline __device__ float pair_sum(float value) {
  return value + __shfl_xor_sync(0xffffffff, value, 16);
}

// Merges a quad's parts. Two lanes, 16 apart, take every other part each, kBatch at a time: the
// latency of memory is what a merge waits for. The order is the same whoever does it, so that the
// bits depend on nothing else.
inline __device__ Quad merge_quad(const float4* outputs, const float* lse, const Parts& parts) {
  constexpr int kBatch = 4;
  float maximum = minus_infinity();
  float total = 0;
  Quad result = {};
#pragma unroll 1
  for (int first = lane_id() / 16; first < parts.count; first += 2 * kBatch) {
    float part_lse[kBatch];
    float4 part[kBatch];
    float largest = maximum;
#pragma unroll
    for (int j = 0; j < kBatch; ++j) {  // past the end, the last one again, without weight
      const long long row =
          static_cast<long long>(min(first + 2 * j, parts.count - 1)) * parts.rows;
      part[j] = outputs[row * kQuads];
      part_lse[j] = lse[row];
      if (first + 2 * j >= parts.count) part_lse[j] = minus_infinity();
      largest = fmaxf(largest, part_lse[j]);
    }
    const float correction = ex2_approx_ftz(maximum - finite(largest));
    maximum = largest;
    total *= correction;
    for (float& value : result.values) value *= correction;
#pragma unroll
    for (int j = 0; j < kBatch; ++j) {
      const float weight = ex2_approx_ftz(part_lse[j] - finite(maximum));
      total += weight;
      result.values[0] += weight * part[j].x, result.values[1] += weight * part[j].y;
      result.values[2] += weight * part[j].z, result.values[3] += weight * part[j].w;
    }
  }
  const float largest = fmaxf(maximum, __shfl_xor_sync(0xffffffff, maximum, 16));
  const float correction = ex2_approx_ftz(maximum - finite(largest));
  maximum = largest;
  total = pair_sum(total * correction);
  for (float& value : result.values) value = pair_sum(value * correction);
  const float reciprocal = total > 0 ? rcp_approx_ftz(total) : 0;
  for (float& value : result.values) value *= reciprocal;
  result.lse = maximum + lg2_approx_ftz(total);
  return result;
}

// Merges the parts of the block's rows: the splits' into the batch's output, the warps' into that
// or, where there are splits, into the block's split.
inline __device__ void merge_parts(const DecodeArguments& arguments, const Rows& rows,
                                   const Parts& parts) {
  const int quads = rows.count * kQuads;
#pragma unroll 1
  for (int first = warp_id() * 16; first < quads; first += kThreads / 2) {
    const int place = first + lane_id() % 16;
    const int row = min(place, quads - 1) / kQuads;
    const int quad = min(place, quads - 1) % kQuads;
    const long long index = index_of(rows, row);
    const long long from = parts.of_splits ? index : row;
    const int from_quad = parts.of_splits ? quad : swizzled_quad(row, quad);
    const Quad result =
        merge_quad(parts.outputs + from * kQuads + from_quad, parts.lse + from, parts);
    if (lane_id() >= 16 || place >= quads) continue;
    if (parts.of_splits || arguments.splits == 1) {
      finish(arguments, index, rows.head(row), quad, result);
    } else {
      store_part(arguments, index, quad, result);
    }
  }
}

}  // namespace octavo
