#include "tools/reference/data.hpp"

#include <cmath>
#include <numeric>

#include "tools/reference/parallel.hpp"

namespace octavo::reference {
namespace {

enum class Stream : std::uint64_t { q, k, v, q_mean, k_mean, k_outlier, v_mean, sink };

// Random numbers addressed by name: the same question has the same answer, in any order.
class Random {
 public:
  Random(std::uint64_t seed, Stream stream)
      : key_(mix(seed ^ mix(static_cast<std::uint64_t>(stream) + 1))) {}

  // 64 random bits for a place; mix is the finaliser of SplitMix64, a bijection.
  std::uint64_t bits(std::uint64_t place) const { return mix(key_ + place * 0x9E3779B97F4A7C15u); }

  // About normal, mean 0 and variance 1: the sum of four uniform 16-bit numbers, whose variance is
  // 4 * 2^32 / 12. Integers alone, so that every platform agrees to the last bit.
  double normal(std::uint64_t place) const {
    const std::uint64_t x = bits(place);
    const auto sum = static_cast<std::int64_t>((x & 0xFFFF) + (x >> 16 & 0xFFFF) +
                                               (x >> 32 & 0xFFFF) + (x >> 48));
    return static_cast<double>(sum - 2 * 65535) * (1.7320508075688772 / 65536.0);
  }

 private:
  static std::uint64_t mix(std::uint64_t x) {
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
  }
  std::uint64_t key_;
};

std::uint64_t place(std::uint64_t sequence, std::uint64_t token, std::uint64_t row,
                    std::uint64_t dim) {
  return ((sequence << 24 | token) << 8 | row) * 1024 + dim;
}

// What a KV head's rows have in common.
struct Head {
  std::vector<double> q_mean, k_mean, v_mean, sink;
};

constexpr int kChannelsAnOutlier = 32;
constexpr double kOutlierMean = 8;
constexpr double kQueryMean = 0.5;
constexpr double kValueMean = 1;
constexpr double kSinkLogit = 6;    // above the other tokens', whose deviation is about 1
constexpr double kSinkValue = 0.1;  // of the others' size

Head draw_head(const AttentionSpec& shape, std::uint64_t head, std::uint64_t seed) {
  const int qk = shape.head_dim.qk, v_dim = shape.head_dim.v;
  Head drawn{std::vector<double>(qk), std::vector<double>(qk), std::vector<double>(v_dim),
             std::vector<double>(qk)};
  const Random q_mean(seed, Stream::q_mean), k_mean(seed, Stream::k_mean),
      outlier(seed, Stream::k_outlier), v_mean(seed, Stream::v_mean);
  for (int c = 0; c < qk; ++c) {
    const bool is_outlier = outlier.bits(place(0, 0, head, c)) % kChannelsAnOutlier == 0;
    drawn.q_mean[c] = q_mean.bits(place(0, 0, head, c)) & 1 ? kQueryMean : -kQueryMean;
    drawn.k_mean[c] = k_mean.normal(place(0, 0, head, c)) * (is_outlier ? kOutlierMean : 0.25);
    // q_mean . sink / sqrt(qk) = kSinkLogit
    drawn.sink[c] = drawn.q_mean[c] * kSinkLogit /
                    (kQueryMean * kQueryMean * std::sqrt(static_cast<double>(qk)));
  }
  for (int c = 0; c < v_dim; ++c) {
    drawn.v_mean[c] = v_mean.normal(place(0, 0, head, c)) * kValueMean;
  }
  return drawn;
}

// The rows of one token, written at row `to` of the tensor.
void draw_key_value(Inputs& inputs, const std::vector<Head>& heads, std::uint64_t seed,
                    int sequence, int token, std::size_t to) {
  const Random k(seed, Stream::k), v(seed, Stream::v);
  std::vector<double> k_row(inputs.k.dim), v_row(inputs.v.dim);
  const bool sink = token == 0;
  for (std::size_t head = 0; head < heads.size(); ++head) {
    for (std::size_t c = 0; c < k_row.size(); ++c) {
      k_row[c] = heads[head].k_mean[c] + k.normal(place(sequence, token, head, c)) +
                 (sink ? heads[head].sink[c] : 0);
    }
    for (std::size_t c = 0; c < v_row.size(); ++c) {
      v_row[c] = (heads[head].v_mean[c] + v.normal(place(sequence, token, head, c))) *
                 (sink ? kSinkValue : 1);
    }
    inputs.k.store_row(to, head, k_row);
    inputs.v.store_row(to, head, v_row);
  }
}

void draw_query(Inputs& inputs, const std::vector<Head>& heads, std::uint64_t seed, int sequence,
                int token, std::size_t to) {
  const Random q(seed, Stream::q);
  const std::size_t group = inputs.q.heads / heads.size();
  std::vector<double> row(inputs.q.dim);
  for (std::size_t head = 0; head < inputs.q.heads; ++head) {
    for (std::size_t c = 0; c < row.size(); ++c) {
      row[c] = heads[head / group].q_mean[c] + q.normal(place(sequence, token, head, c));
    }
    inputs.q.store_row(to, head, row);
  }
}

std::vector<std::size_t> starts(const std::vector<int>& counts) {
  std::vector<std::size_t> first(counts.size() + 1);
  std::partial_sum(counts.begin(), counts.end(), first.begin() + 1);
  return first;
}

// Where each sequence's rows begin in the tensors of Inputs.
struct Rows {
  explicit Rows(const Inputs& inputs) : query(starts(inputs.query_tokens)) {
    std::vector<int> contexts;
    for (int b = 0; b < static_cast<int>(inputs.kv_length.size()); ++b) {
      contexts.push_back(inputs.context(b));
    }
    context = starts(contexts);
  }
  // Row in k and v of a token, counted from the sequence's beginning.
  std::size_t key_value(int sequence, int token) const {
    const std::size_t length = context[sequence + 1] - context[sequence];
    const auto t = static_cast<std::size_t>(token);
    return t < length ? context[sequence] + t : context.back() + query[sequence] + t - length;
  }
  std::vector<std::size_t> context, query;
};

}  // namespace

std::size_t Inputs::context_tokens() const {
  return std::accumulate(kv_length.begin(), kv_length.end(), std::size_t{0}) - queries();
}

std::size_t Inputs::queries() const {
  return std::accumulate(query_tokens.begin(), query_tokens.end(), std::size_t{0});
}

Operands Inputs::operands() const {
  const Rows rows(*this);
  return {.kv_length = kv_length,
          .query_tokens = query_tokens,
          .q = [this, rows](
                   int sequence, int token, int head,
                   std::span<double> row) { q.load_row(rows.query[sequence] + token, head, row); },
          .k =
              [this, rows](int sequence, int token, int head, std::span<double> row) {
                k.load_row(rows.key_value(sequence, token), head, row);
              },
          .v =
              [this, rows](int sequence, int token, int head, std::span<double> row) {
                v.load_row(rows.key_value(sequence, token), head, row);
              },
          .sinks = sinks};
}

std::vector<double> draw_sinks(const AttentionSpec& shape, std::uint64_t seed) {
  const Random random(seed, Stream::sink);
  std::vector<double> sinks;
  for (int head = 0; head < shape.query_heads; ++head) {
    sinks.push_back(static_cast<float>(random.normal(place(0, 0, head, 0))));
  }
  return sinks;
}

Inputs draw_inputs(const Spec& spec, const std::vector<int>& kv_length,
                   const std::vector<int>& query_tokens, std::uint64_t seed) {
  const AttentionSpec& shape = spec.attention;
  Inputs inputs{
      .kv_length = kv_length, .query_tokens = query_tokens, .q = {}, .k = {}, .v = {}, .sinks = {}};
  const std::size_t tokens = inputs.context_tokens() + inputs.queries();
  inputs.q = Tensor(spec.input, inputs.queries(), shape.query_heads, shape.head_dim.qk);
  inputs.k = Tensor(spec.input, tokens, shape.kv_heads, shape.head_dim.qk);
  inputs.v = Tensor(spec.input, tokens, shape.kv_heads, shape.head_dim.v);
  if (shape.sinks) inputs.sinks = draw_sinks(shape, seed);

  std::vector<Head> heads(shape.kv_heads);
  for (std::size_t head = 0; head < heads.size(); ++head)
    heads[head] = draw_head(shape, head, seed);
  const Rows rows(inputs);
  constexpr int kTokensATask = 256;
  for (int b = 0; b < static_cast<int>(kv_length.size()); ++b) {
    parallel_for((kv_length[b] + kTokensATask - 1) / kTokensATask, [&](std::size_t task) {
      const int begin = static_cast<int>(task) * kTokensATask;
      for (int t = begin; t < std::min(begin + kTokensATask, kv_length[b]); ++t) {
        draw_key_value(inputs, heads, seed, b, t, rows.key_value(b, t));
      }
    });
    for (int t = 0; t < query_tokens[b]; ++t) {
      draw_query(inputs, heads, seed, b, t, rows.query[b] + t);
    }
  }
  return inputs;
}

}  // namespace octavo::reference
