#include "tools/reference/attention.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "tools/reference/formats.hpp"
#include "tools/reference/parallel.hpp"

namespace octavo::reference {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// Tokens a task. Fixed, so that the sums do not depend on the number of threads.
constexpr int kChunk = 512;

// One chunk of a sequence's tokens under one KV head, and what it contributes to the rows (query
// token, head of the group) that share it: their running maximum, sum, and unnormalised output.
struct Task {
  int sequence = 0;
  int kv_head = 0;
  int begin = 0, end = 0;
  std::vector<double> maximum, sum, output;
};

double dot(std::span<const double> a, std::span<const double> b) {
  double sums[4] = {};  // independent chains, for speed
  std::size_t i = 0;
  for (; i + 4 <= a.size(); i += 4) {
    for (int j = 0; j < 4; ++j) sums[j] += a[i + j] * b[i + j];
  }
  for (; i < a.size(); ++i) sums[0] += a[i] * b[i];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

bool sees(const Mask& mask, int query_position, int token) {
  switch (mask.kind) {
    case MaskKind::none:
      return true;
    case MaskKind::causal:
      return token <= query_position;
    case MaskKind::sliding_window:
      return token <= query_position && token > query_position - mask.window;
  }
  return false;
}

class Problem {
 public:
  Problem(const AttentionSpec& shape, const Operands& operands);
  Result solve();

 private:
  int rows(int sequence) const { return operands_.query_tokens[sequence] * shape_.group(); }
  double logit(double dot_product) const;
  void run(Task& task) const;
  void add_row(Task& task, int row, std::span<const double> logits,
               std::span<const double> v) const;
  void finish(int sequence, int kv_head, std::span<const Task> tasks, Result& result) const;

  const AttentionSpec& shape_;
  const Operands& operands_;
  std::vector<int> first_row_;  // of each sequence's query tokens in the result
};

Problem::Problem(const AttentionSpec& shape, const Operands& operands)
    : shape_(shape), operands_(operands), first_row_(operands.query_tokens.size() + 1) {
  std::partial_sum(operands.query_tokens.begin(), operands.query_tokens.end(),
                   first_row_.begin() + 1);
}

double Problem::logit(double dot_product) const {
  const double scaled = dot_product * shape_.softmax_scale;
  return shape_.softcap > 0 ? shape_.softcap * std::tanh(scaled / shape_.softcap) : scaled;
}

void Problem::run(Task& task) const {
  const int qk = shape_.head_dim.qk, v_dim = shape_.head_dim.v;
  const int row_count = rows(task.sequence), tokens = task.end - task.begin;
  std::vector<double> q(qk), k(static_cast<std::size_t>(tokens) * qk),
      v(static_cast<std::size_t>(tokens) * v_dim), logits(tokens);
  for (int t = 0; t < tokens; ++t) {
    operands_.k(task.sequence, task.begin + t, task.kv_head,
                {k.data() + static_cast<std::size_t>(t) * qk, static_cast<std::size_t>(qk)});
    operands_.v(task.sequence, task.begin + t, task.kv_head,
                {v.data() + static_cast<std::size_t>(t) * v_dim, static_cast<std::size_t>(v_dim)});
  }
  task.maximum.assign(row_count, -kInfinity);
  task.sum.assign(row_count, 0);
  task.output.assign(static_cast<std::size_t>(row_count) * v_dim, 0);

  for (int row = 0; row < row_count; ++row) {
    const int query = row / shape_.group();
    const int position =
        operands_.kv_length[task.sequence] - operands_.query_tokens[task.sequence] + query;
    operands_.q(task.sequence, query, task.kv_head * shape_.group() + row % shape_.group(), q);
    for (int t = 0; t < tokens; ++t) {
      const std::span<const double> k_row(k.data() + static_cast<std::size_t>(t) * qk, q.size());
      logits[t] = sees(shape_.mask, position, task.begin + t) ? logit(dot(q, k_row)) : -kInfinity;
    }
    add_row(task, row, logits, v);
  }
}

void Problem::add_row(Task& task, int row, std::span<const double> logits,
                      std::span<const double> v) const {
  const std::size_t v_dim = shape_.head_dim.v;
  // std::max drops a NaN, which must not be lost: it stays in the sum.
  const double maximum = *std::max_element(logits.begin(), logits.end());
  task.maximum[row] = maximum;
  if (maximum == -kInfinity) return;
  double* output = task.output.data() + row * v_dim;
  for (std::size_t t = 0; t < logits.size(); ++t) {
    if (logits[t] == -kInfinity) continue;
    const double weight = std::exp(logits[t] - maximum);
    task.sum[row] += weight;
    for (std::size_t c = 0; c < v_dim; ++c) output[c] += weight * v[t * v_dim + c];
  }
}

void Problem::finish(int sequence, int kv_head, std::span<const Task> tasks, Result& result) const {
  const std::size_t v_dim = shape_.head_dim.v;
  for (int row = 0; row < rows(sequence); ++row) {
    const int head = kv_head * shape_.group() + row % shape_.group();
    double maximum = operands_.sinks.empty() ? -kInfinity : operands_.sinks[head];
    for (const Task& task : tasks) maximum = std::max(maximum, task.maximum[row]);
    double sum = operands_.sinks.empty() ? 0 : std::exp(operands_.sinks[head] - maximum);
    if (maximum == -kInfinity) sum = 0;

    const std::size_t index =
        static_cast<std::size_t>(first_row_[sequence] + row / shape_.group()) * shape_.query_heads +
        head;
    double* output = result.output.data() + index * v_dim;
    for (const Task& task : tasks) {
      if (task.maximum[row] == -kInfinity) continue;
      const double factor = std::exp(task.maximum[row] - maximum);
      sum += factor * task.sum[row];
      for (std::size_t c = 0; c < v_dim; ++c) output[c] += factor * task.output[row * v_dim + c];
    }
    result.lse[index] = sum == 0 ? -kInfinity : maximum + std::log(sum);
    if (sum == 0) continue;
    for (std::size_t c = 0; c < v_dim; ++c) output[c] /= sum;
  }
}

Result Problem::solve() {
  std::vector<Task> tasks;
  std::vector<std::size_t> first_task{0};  // of each (sequence, KV head)
  for (int sequence = 0; sequence < static_cast<int>(operands_.kv_length.size()); ++sequence) {
    const int length = rows(sequence) ? operands_.kv_length[sequence] : 0;
    for (int head = 0; head < shape_.kv_heads; ++head) {
      for (int begin = 0; begin < length; begin += kChunk) {
        tasks.push_back({sequence, head, begin, std::min(begin + kChunk, length), {}, {}, {}});
      }
      first_task.push_back(tasks.size());
    }
  }
  parallel_for(tasks.size(), [&](std::size_t i) { run(tasks[i]); });

  Result result;
  const std::size_t heads = static_cast<std::size_t>(first_row_.back()) * shape_.query_heads;
  result.output.assign(heads * shape_.head_dim.v, 0);
  result.lse.assign(heads, -kInfinity);
  for (std::size_t i = 0; i + 1 < first_task.size(); ++i) {
    const int sequence = static_cast<int>(i) / shape_.kv_heads;
    const int head = static_cast<int>(i) % shape_.kv_heads;
    finish(sequence, head,
           std::span(tasks).subspan(first_task[i], first_task[i + 1] - first_task[i]), result);
  }
  return result;
}

}  // namespace

Result attention(const AttentionSpec& shape, const Operands& operands) {
  return Problem(shape, operands).solve();
}

std::vector<double> rope_table(const Rope& rope, int positions) {
  const int pairs = rope.dims / 2;
  std::vector<double> table(static_cast<std::size_t>(positions) * pairs * 2);
  parallel_for(positions, [&](std::size_t position) {
    for (int i = 0; i < pairs; ++i) {
      const double angle =
          static_cast<double>(position) * std::pow(rope.theta, -2.0 * i / rope.dims);
      table[(position * pairs + i) * 2] = std::cos(angle);
      table[(position * pairs + i) * 2 + 1] = std::sin(angle);
    }
  });
  return table;
}

RowReader rotated(const Rope& rope, std::span<const double> table, RowReader rows,
                  const std::vector<int>& first_position) {
  if (rope.pairing == RopePairing::none) return rows;
  return [=](int sequence, int token, int head, std::span<double> row) {
    rows(sequence, token, head, row);
    const int pairs = rope.dims / 2;
    const int position = token + (first_position.empty() ? 0 : first_position[sequence]);
    const double* entry = table.data() + static_cast<std::size_t>(position) * pairs * 2;
    for (int i = 0; i < pairs; ++i) {
      const bool half = rope.pairing == RopePairing::half;
      double& a = row[half ? i : 2 * i];
      double& b = row[half ? i + pairs : 2 * i + 1];
      const double cosine = entry[2 * i], sine = entry[2 * i + 1];
      const double rotated_a = a * cosine - b * sine;
      b = a * sine + b * cosine;
      a = rotated_a;
    }
  };
}

RowReader multiplied(Matmul matmul, RowReader queries) {
  return [matmul, queries = std::move(queries)](int sequence, int token, int head,
                                                std::span<double> row) {
    queries(sequence, token, head, row);
    float scale = 1, reciprocal = 1;
    if (matmul == Matmul::fp8) {
      float most = 0;
      for (const double value : row) most = std::max(most, static_cast<float>(std::abs(value)));
      scale = most * (1 / 448.0f);
      reciprocal = 1 / std::max(scale, 0x1p-126f);
    }
    const DataType type = multiplied_type(matmul);
    for (double& value : row) {
      value = decode(type, encode(type, static_cast<float>(value) * reciprocal)) * scale;
    }
  };
}

}  // namespace octavo::reference
