// Attention in float64, from the definition: what every kernel is held against.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "generator/spec.hpp"

namespace octavo::reference {

// Writes the row of one token of one sequence and one head. Called from several threads at once.
using RowReader = std::function<void(int sequence, int token, int head, std::span<double> row)>;

struct Operands {
  std::vector<int> kv_length;     // tokens of each sequence
  std::vector<int> query_tokens;  // of each sequence: its last ones
  RowReader q;                    // token counts from the sequence's first query token
  RowReader k;
  RowReader v;
  std::vector<double> sinks;  // a logit a query head; empty: none
};

struct Result {
  std::vector<double> output;  // [query tokens of all sequences, query_heads, v_dim]
  std::vector<double> lse;     // [query tokens of all sequences, query_heads], natural logarithm,
                               // sink included; -infinity where nothing is seen
};

// softmax(mask(softcap(q . k * softmax_scale))) . v for every query token and head. A row that sees
// no token and has no sink is zero. RoPE is the readers' business: see rotated().
Result attention(const AttentionSpec& shape, const Operands& operands);

// cosine and sine, [positions, rope.dims / 2, 2], of position * theta^(-2i / dims).
std::vector<double> rope_table(const Rope& rope, int positions);

// The reader's rows, rotated: token t of sequence s stands at position first_position[s] + t, or t
// if first_position is empty. `table` must outlive the reader.
RowReader rotated(const Rope& rope, std::span<const double> table, RowReader rows,
                  const std::vector<int>& first_position = {});

// The reader's queries as the tensor cores get them (templates/mma/): rounded to what they multiply
// and, where that is fp8, scaled so that the row's largest value is 448.
RowReader multiplied(Matmul matmul, RowReader queries);

}  // namespace octavo::reference
