// One append as the host knows it: what it reads, all that it may write to, and what that becomes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "generator/spec.hpp"

namespace octavo::test {

using Bytes = std::vector<std::byte>;

// All of the memory, so that a byte written in a wrong place is seen.
struct Written {
  Bytes k, v;                           // the caches
  std::vector<float> k_scale, v_scale;  // empty for a 16-bit cache
  Bytes q_rotated;                      // empty without RoPE or Q
};

// Rows of new tokens, each padded to `stride` elements: [tokens, stride].
struct PaddedRows {
  Bytes data;
  long long stride = 0;
};

struct AppendCase {
  Spec spec;
  std::vector<int> token_start, kv_length;  // as in templates/arguments.cuh
  std::vector<int> page_table;              // [sequences, page_table_stride]; paged only
  int page_table_stride = 0;
  int capacity = 0;  // contiguous only
  PaddedRows q, k, v;
  std::vector<float> rope;  // cosines and sines; empty without RoPE, as q is
  bool in_place = false;    // Q is rotated where it is
  Written before;           // noise, but for scales that append reads and a Q that is in place
};

// What becomes of Q where there is RoPE.
enum class Queries { rotated, rotated_in_place, not_given };

struct Shape {
  std::string name;
  int sequences;
  int most_new_tokens;  // of a sequence; one has as many, some have none
  Queries queries;
};

// Deterministic in `seed`. Rows are drawn from all of fp32's range, zeros and subnormals included,
// and strewn with infinities, NaNs and values where the formats round or saturate. Some pages are
// missing from the page table.
AppendCase draw_case(const Spec& spec, const Shape& shape, std::uint32_t seed);

// What `before` becomes, bit for bit, by the words of templates/arguments.cuh and templates/scale/.
Written expected(const AppendCase& drawn);

}  // namespace octavo::test
