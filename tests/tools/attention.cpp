#include "tools/reference/attention.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

using namespace octavo;
using namespace octavo::reference;

namespace {

AttentionSpec shape(int query_heads, int kv_heads, int dim) {
  AttentionSpec attention;
  attention.query_heads = query_heads;
  attention.kv_heads = kv_heads;
  attention.head_dim = {dim, dim};
  attention.softmax_scale = 1 / std::sqrt(dim);
  return attention;
}

// Values that differ between any two places.
void fill(int sequence, int token, int head, std::span<double> row, double phase) {
  for (std::size_t c = 0; c < row.size(); ++c) {
    row[c] = std::sin(phase + sequence * 7.1 + token * 1.3 + head * 2.9 + static_cast<double>(c));
  }
}

Operands operands(std::vector<int> kv_length, std::vector<int> query_tokens) {
  return {.kv_length = std::move(kv_length),
          .query_tokens = std::move(query_tokens),
          .q = [](int s, int t, int h, std::span<double> row) { fill(s, t, h, row, 0.1); },
          .k = [](int s, int t, int h, std::span<double> row) { fill(s, t, h, row, 0.2); },
          .v = [](int s, int t, int h, std::span<double> row) { fill(s, t, h, row, 0.3); },
          .sinks = {}};
}

// Attention of one row by the textbook: all logits, their exponentials, one division.
struct Row {
  std::vector<double> output;
  double lse;
};
Row textbook(const AttentionSpec& shape, const Operands& operands, int sequence, int query,
             int head) {
  const int dim = shape.head_dim.qk, length = operands.kv_length[sequence];
  const int position = length - operands.query_tokens[sequence] + query;
  std::vector<double> q(dim), k(dim), v(dim), output(dim);
  operands.q(sequence, query, head, q);
  double sum = operands.sinks.empty() ? 0 : std::exp(operands.sinks[head]);
  for (int t = 0; t < length; ++t) {
    if (shape.mask.kind != MaskKind::none && t > position) continue;
    if (shape.mask.kind == MaskKind::sliding_window && t <= position - shape.mask.window) continue;
    operands.k(sequence, t, head / shape.group(), k);
    operands.v(sequence, t, head / shape.group(), v);
    double logit = 0;
    for (int c = 0; c < dim; ++c) logit += q[c] * k[c];
    logit *= shape.softmax_scale;
    if (shape.softcap > 0) logit = shape.softcap * std::tanh(logit / shape.softcap);
    sum += std::exp(logit);
    for (int c = 0; c < dim; ++c) output[c] += std::exp(logit) * v[c];
  }
  for (double& value : output) value /= sum;
  return {output, std::log(sum)};
}

void check_against_textbook(const AttentionSpec& shape, const Operands& operands) {
  const Result result = attention(shape, operands);
  std::size_t row = 0;
  for (int b = 0; b < static_cast<int>(operands.kv_length.size()); ++b) {
    for (int query = 0; query < operands.query_tokens[b]; ++query) {
      for (int head = 0; head < shape.query_heads; ++head, ++row) {
        const Row want = textbook(shape, operands, b, query, head);
        CHECK(result.lse[row] == doctest::Approx(want.lse).epsilon(1e-12));
        for (int c = 0; c < shape.head_dim.v; ++c) {
          CHECK(result.output[row * shape.head_dim.v + c] ==
                doctest::Approx(want.output[c]).epsilon(1e-12));
        }
      }
    }
  }
}

}  // namespace

TEST_CASE("attention is what the textbook says, with every mask and extra") {
  AttentionSpec attention = shape(6, 2, 16);
  const Operands batch = operands({0, 5, 1300}, {0, 3, 2});
  check_against_textbook(attention, batch);
  attention.mask.kind = MaskKind::none;
  check_against_textbook(attention, batch);
  attention.mask = {MaskKind::sliding_window, 4};
  check_against_textbook(attention, batch);
  attention.softcap = 0.5;
  check_against_textbook(attention, batch);
  Operands with_sinks = batch;
  with_sinks.sinks = {-1, 0, 1, 2, 3, 4};
  check_against_textbook(attention, with_sinks);
}

TEST_CASE("weights sum to one: V of ones gives ones") {
  Operands ones = operands({700}, {1});
  ones.v = [](int, int, int, std::span<double> row) { std::fill(row.begin(), row.end(), 1.0); };
  for (const double value : attention(shape(2, 1, 32), ones).output) {
    CHECK(value == doctest::Approx(1).epsilon(1e-14));
  }
}

TEST_CASE("huge logits neither overflow nor lose the largest") {
  Operands huge = operands({600}, {1});
  huge.k = [](int, int token, int, std::span<double> row) {
    std::fill(row.begin(), row.end(), token == 555 ? 1e6 : -1e6);
  };
  huge.q = [](int, int, int, std::span<double> row) { std::fill(row.begin(), row.end(), 1.0); };
  const Result result = attention(shape(1, 1, 16), huge);
  std::vector<double> want(16);
  huge.v(0, 555, 0, want);
  CHECK(result.output == want);
  CHECK(result.lse[0] == doctest::Approx(16e6 / 4));
}

TEST_CASE("rotation keeps a pair's length and turns it by its position") {
  for (const RopePairing pairing : {RopePairing::half, RopePairing::interleaved}) {
    const Rope rope{pairing, 8, 10000};
    const std::vector<double> table = rope_table(rope, 12);
    const RowReader ones = [](int, int, int, std::span<double> row) {
      for (std::size_t c = 0; c < row.size(); ++c) row[c] = static_cast<double>(c + 1);
    };
    std::vector<double> row(16), original(16);
    ones(0, 0, 0, original);
    rotated(rope, table, ones, {5})(0, 3, 0, row);  // position 8
    const bool half = pairing == RopePairing::half;
    for (int i = 0; i < 4; ++i) {
      const int a = half ? i : 2 * i, b = half ? i + 4 : 2 * i + 1;
      const double angle = 8 * std::pow(10000, -2.0 * i / 8);
      CHECK(row[a] ==
            doctest::Approx(original[a] * std::cos(angle) - original[b] * std::sin(angle)));
      CHECK(row[b] ==
            doctest::Approx(original[a] * std::sin(angle) + original[b] * std::cos(angle)));
    }
    for (int c = 8; c < 16; ++c) CHECK(row[c] == original[c]);
  }
}
