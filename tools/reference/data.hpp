// Inputs drawn like a language model's.
#pragma once

#include <cstdint>
#include <vector>

#include "generator/spec.hpp"
#include "tools/reference/attention.hpp"
#include "tools/reference/tensor.hpp"

namespace octavo::reference {

// q, k and v of a batch whose sequences are kv_length[b] tokens long, the last query_tokens[b] of
// them being the queries. q's rows are the queries, sequence after sequence. The rows of k and v
// are first the context of every sequence, then the query tokens of every sequence: what a prefill
// appends and what a decode step then appends are each one packed tensor.
struct Inputs {
  std::vector<int> kv_length;
  std::vector<int> query_tokens;
  Tensor q, k, v;
  std::vector<double> sinks;  // fp32 values, one a query head; empty without sinks

  int context(int sequence) const { return kv_length[sequence] - query_tokens[sequence]; }
  std::size_t context_tokens() const;  // of all sequences
  std::size_t queries() const;         // of all sequences
  Operands operands() const;           // reads this object, which must outlive it
};

// Deterministic in `seed` and a token's place, whatever the platform and the threads: token t of
// sequence b has the same K and V in a longer sequence. What makes it like a language model's:
//   - a few channels of K are outliers: a large mean of their own, the same for all tokens;
//   - the channels of V have means, without which an accumulator that stalls goes unseen;
//   - the first token is a sink: its K is along Q's mean, which lifts its logit, and its V is
//   small.
Inputs draw_inputs(const Spec& spec, const std::vector<int>& kv_length,
                   const std::vector<int>& query_tokens, std::uint64_t seed);

// A logit for each query head, of fp32 values.
std::vector<double> draw_sinks(const AttentionSpec& shape, std::uint64_t seed);

}  // namespace octavo::reference
