#include "tools/trial.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <climits>
#include <cmath>
#include <numeric>

namespace octavo {
namespace {

constexpr unsigned char kPoison = 0xFF;  // NaN in every format
constexpr int kTimedLaunches = 20;

std::vector<float> narrowed(const std::vector<double>& values) {
  return {values.begin(), values.end()};
}

template <typename T>
std::size_t bytes_in(const std::vector<T>& values) {
  return values.size() * sizeof(T);
}

// Of a batch's sequences; launches take 1 for none.
int most_of(const std::vector<int>& tokens) {
  return std::max(*std::max_element(tokens.begin(), tokens.end()), 1);
}

// From one token's row to the next, in elements.
long long stride_of(const reference::Tensor& tensor) { return tensor.heads * tensor.dim; }

}  // namespace

Trial::Trial(const Spec& spec, const Device& device, const reference::Inputs& inputs, int splits)
    : spec_(spec),
      device_(device),
      inputs_(inputs),
      splits_(splits),
      attention_(spec, device),
      stream_(device),
      image_(spec, inputs.kv_length, 1) {
  const auto sequences = static_cast<int>(inputs.kv_length.size());
  std::vector<int> contexts;
  for (int b = 0; b < sequences; ++b) contexts.push_back(inputs.context(b));
  context_ = make_phase(contexts, contexts, 0);
  query_ = make_phase(inputs.query_tokens, inputs.kv_length, inputs.context_tokens());

  const int longest = *std::max_element(inputs.kv_length.begin(), inputs.kv_length.end());
  q_ = upload(inputs.q.data.data(), bytes_in(inputs.q.data));
  k_ = upload(inputs.k.data.data(), bytes_in(inputs.k.data));
  v_ = upload(inputs.v.data.data(), bytes_in(inputs.v.data));
  if (spec.attention.rope.pairing != RopePairing::none) {
    rope_ = reference::rope_table(spec.attention.rope, std::max(longest, 1));
    const std::vector<float> table = narrowed(rope_);
    rope_table_ = upload(table.data(), bytes_in(table));
    q_rotated_ = Buffer(device, std::max<std::size_t>(q_.bytes(), 1));
  }
  if (spec.attention.sinks) {
    const std::vector<float> sinks = narrowed(inputs.sinks);
    sinks_ = upload(sinks.data(), bytes_in(sinks));
  }
  upload_cache();

  const std::size_t heads = inputs.queries() * spec.attention.query_heads;
  output_ = Buffer(
      device, std::max<std::size_t>(heads * spec.attention.head_dim.v * bytes_of(spec.output), 1));
  lse_ = Buffer(device, std::max<std::size_t>(heads * sizeof(float), 1));
}

Buffer Trial::upload(const void* data, std::size_t bytes) {
  Buffer buffer(device_, std::max<std::size_t>(bytes, 1));
  if (bytes > 0) buffer.upload(data, bytes);
  return buffer;
}

Trial::Phase Trial::make_phase(const std::vector<int>& new_tokens,
                               const std::vector<int>& kv_length, std::size_t first_row) {
  std::vector<int> start(new_tokens.size() + 1);
  std::partial_sum(new_tokens.begin(), new_tokens.end(), start.begin() + 1);
  return {.first_row = first_row,
          .tokens = start.back(),
          .token_start = upload(start.data(), bytes_in(start)),
          .kv_length = upload(kv_length.data(), bytes_in(kv_length))};
}

void Trial::upload_cache() {
  cache_k_ = Buffer(device_, std::max<std::size_t>(image_.k.size(), 1));
  cache_v_ = Buffer(device_, std::max<std::size_t>(image_.v.size(), 1));
  const std::vector<int>& pages = image_.page_table();
  if (!pages.empty()) page_table_ = upload(pages.data(), bytes_in(pages));
  if (image_.k_scale.empty()) return;
  if (spec_.kv_cache.scale.granularity != ScaleGranularity::token_head) {
    const reference::StaticScales scales = reference::static_scales(spec_, unquantised());
    image_.k_scale = scales.k;
    image_.v_scale = scales.v;
  }
  cache_k_scale_ = upload(image_.k_scale.data(), bytes_in(image_.k_scale));
  cache_v_scale_ = upload(image_.v_scale.data(), bytes_in(image_.v_scale));
}

KvCache Trial::cache() const {
  return {.k = cache_k_.address(),
          .v = cache_v_.address(),
          .k_scale = cache_k_scale_.address(),
          .v_scale = cache_v_scale_.address(),
          .page_table = page_table_.address(),
          .page_table_stride = image_.page_table_stride(),
          .capacity = image_.capacity()};
}

AppendArguments Trial::append_arguments(const Phase& phase) const {
  // Nobody asks for the context's own queries.
  const bool rotates = spec_.attention.rope.pairing != RopePairing::none && &phase == &query_;
  return {.cache = cache(),
          .batch = {.token_start = phase.token_start.address(),
                    .kv_length = phase.kv_length.address(),
                    .sequences = static_cast<int>(inputs_.kv_length.size()),
                    .tokens = phase.tokens},
          .q = rotates ? q_.address() : 0,
          .q_rotated = rotates ? q_rotated_.address() : 0,
          .k = k_.address() + phase.first_row * inputs_.k.row_bytes(),
          .v = v_.address() + phase.first_row * inputs_.v.row_bytes(),
          .rope = rope_table_.address(),
          .q_stride = stride_of(inputs_.q),
          .k_stride = stride_of(inputs_.k),
          .v_stride = stride_of(inputs_.v)};
}

// A GPU is warmed up and the median of several launches taken; an emulated one's clock is the
// host's, and once is enough.
double Trial::time(const std::function<void()>& launch) {
  if (!device_.emulated()) launch();
  std::vector<double> times;
  for (int i = 0; i < (device_.emulated() ? 1 : kTimedLaunches); ++i) {
    Event start(device_), end(device_);
    start.record(stream_.handle());
    launch();
    end.record(stream_.handle());
    times.push_back(end.milliseconds_since(start));
  }
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return times[times.size() / 2];
}

double Trial::append() {
  cache_k_.fill(kPoison);
  cache_v_.fill(kPoison);
  if (spec_.kv_cache.scale.granularity == ScaleGranularity::token_head && !image_.k_scale.empty()) {
    cache_k_scale_.fill(kPoison);
    cache_v_scale_.fill(kPoison);
  }
  const auto launch = [&](const Phase& phase) {
    if (phase.tokens == 0) return 0.0;
    const AppendArguments arguments = append_arguments(phase);
    return time([&] { attention_.append(arguments, stream_.handle()); });
  };
  const double context = launch(context_);
  const double query = launch(query_);
  forget_pages();
  return context_.tokens >= query_.tokens ? context : query;
}

// As a server does, which gives pages that have left all windows to others.
void Trial::forget_pages() {
  const Mask& mask = spec_.attention.mask;
  if (mask.kind != MaskKind::sliding_window || image_.page_table().empty()) return;
  std::vector<int> pages = image_.page_table();
  for (int b = 0; b < static_cast<int>(inputs_.kv_length.size()); ++b) {
    const int seen_from = inputs_.context(b) - mask.window + 1;
    for (int i = 0; (i + 1) * spec_.kv_cache.page_size <= seen_from; ++i) {
      pages[static_cast<std::size_t>(b * image_.page_table_stride() + i)] =
          i % 2 == 0 ? -1 : INT_MIN;
    }
  }
  page_table_.upload(pages.data(), bytes_in(pages));
}

PrefillArguments Trial::query_arguments() {
  if (spec_.output == DataType::e4m3) {
    // No output exceeds the largest value of V, so this keeps all in range.
    std::vector<double> values(inputs_.v.data.size() / bytes_of(inputs_.v.type));
    reference::load(inputs_.v.type, inputs_.v.data.data(), 0, values);
    double most = 0;
    for (const double value : values) most = std::max(most, std::abs(value));
    if (most > 0) output_scale_ = static_cast<float>(most / reference::largest(spec_.output));
  }
  output_.fill(kPoison);
  lse_.fill(kPoison);
  attended_ = true;
  return {.cache = cache(),
          .batch = append_arguments(query_).batch,
          .q = q_rotated_.bytes() > 0 ? q_rotated_.address() : q_.address(),
          .output = output_.address(),
          .lse = lse_.address(),
          .sinks = sinks_.address(),
          .q_stride = stride_of(inputs_.q),
          .output_scale = output_scale_};
}

double Trial::decode() {
  DecodeArguments arguments{};
  static_cast<PrefillArguments&>(arguments) = query_arguments();
  const Attention::DecodeSize size{.max_query_tokens = most_of(inputs_.query_tokens),
                                   .max_kv_length = most_of(inputs_.kv_length),
                                   .splits = splits_};
  const std::size_t bytes = attention_.workspace_bytes(arguments.batch, size);
  workspace_ = Buffer(device_, std::max<std::size_t>(bytes, 1));
  workspace_.fill(0);
  return time([&] { attention_.decode(arguments, size, workspace_.address(), stream_.handle()); });
}

double Trial::prefill(int short_blocks, int short_rows) {
  const PrefillArguments arguments = query_arguments();
  const Attention::PrefillSize size{.max_query_tokens = most_of(inputs_.query_tokens),
                                    .max_kv_length = most_of(inputs_.kv_length),
                                    .short_blocks = short_blocks,
                                    .short_rows = short_rows};
  return time([&] { attention_.prefill(arguments, size, stream_.handle()); });
}

std::vector<double> Trial::output() const {
  std::vector<std::byte> bytes(output_.bytes());
  output_.download(bytes.data(), bytes.size());
  std::vector<double> values(inputs_.queries() * spec_.attention.query_heads *
                             spec_.attention.head_dim.v);
  reference::load(spec_.output, bytes.data(), 0, values);
  for (double& value : values) value *= output_scale_;
  return values;
}

std::vector<double> Trial::lse() const {
  std::vector<std::byte> bytes(lse_.bytes());
  lse_.download(bytes.data(), bytes.size());
  std::vector<double> values(inputs_.queries() * spec_.attention.query_heads);
  reference::load(DataType::fp32, bytes.data(), 0, values);
  return values;
}

std::vector<Trial::Written> Trial::written() const {
  stream_.synchronize();
  std::vector<Written> all;
  const auto read = [&](const char* name, DataType type, const Buffer& buffer) {
    if (buffer.bytes() <= 1) return;  // there is none
    all.push_back({name, type, std::vector<std::byte>(buffer.bytes())});
    buffer.download(all.back().data.data(), buffer.bytes());
  };
  read("k_scale", DataType::fp32, cache_k_scale_);
  read("v_scale", DataType::fp32, cache_v_scale_);
  read("k", spec_.kv_cache.format, cache_k_);
  read("v", spec_.kv_cache.format, cache_v_);
  read("q_rotated", spec_.input, q_rotated_);
  read("lse", DataType::fp32, lse_);
  read("output", spec_.output, output_);
  return all;
}

std::vector<std::byte> Trial::workspace() const {
  stream_.synchronize();
  std::vector<std::byte> bytes(workspace_.bytes());
  workspace_.download(bytes.data(), bytes.size());
  return bytes;
}

void Trial::read_cache() {
  const auto read = [](const Buffer& buffer, auto& values) {
    if (!values.empty()) buffer.download(values.data(), bytes_in(values));
  };
  read(cache_k_, image_.k);
  read(cache_v_, image_.v);
  read(cache_k_scale_, image_.k_scale);
  read(cache_v_scale_, image_.v_scale);
}

reference::Operands Trial::unquantised() const {
  const Rope& rope = spec_.attention.rope;
  std::vector<int> contexts;
  for (int b = 0; b < static_cast<int>(inputs_.kv_length.size()); ++b) {
    contexts.push_back(inputs_.context(b));
  }
  reference::Operands operands = inputs_.operands();
  operands.q = reference::rotated(rope, rope_, operands.q, contexts);
  operands.k = reference::rotated(rope, rope_, operands.k);
  return operands;
}

Verdict Trial::check() {
  stream_.synchronize();
  read_cache();
  Verdict verdict;
  check_cache(verdict);
  if (attended_) check_output(verdict);
  return verdict;
}

void Trial::check_cache(Verdict& verdict) {
  const reference::Operands want = unquantised();
  const AttentionSpec& shape = spec_.attention;
  const auto compare = [&](const char* name, const reference::RowReader& got,
                           const reference::RowReader& rows, int dim) {
    const reference::Difference difference =
        reference::compare(got, rows, inputs_.kv_length, shape.kv_heads, dim);
    const double bound = reference::cache_bound(spec_);
    if (!(difference.relative_l2 <= bound)) {
      verdict.failures.push_back(
          fmt::format("{} in the cache: relative L2 {:.2e} is over its bound {:.2e}", name,
                      difference.relative_l2, bound));
    }
    verdict.bound = bound;
    if (!(difference.relative_l2 <= verdict.difference.relative_l2))
      verdict.difference = difference;
  };
  compare("K", image_.k_rows(), want.k, shape.head_dim.qk);
  compare("V", image_.v_rows(), want.v, shape.head_dim.v);
}

void Trial::check_output(Verdict& verdict) {
  // The queries as they were read.
  reference::Inputs device_queries{.kv_length = inputs_.kv_length,
                                   .query_tokens = inputs_.query_tokens,
                                   .q = inputs_.q,
                                   .k = {},
                                   .v = {},
                                   .sinks = inputs_.sinks};
  if (q_rotated_.bytes() > 0)
    q_rotated_.download(device_queries.q.data.data(), bytes_in(inputs_.q.data));
  reference::Operands operands = device_queries.operands();
  operands.k = image_.k_rows();
  operands.v = image_.v_rows();

  const reference::Result want = reference::attention(spec_.attention, operands);
  const std::vector<double> got = output();
  verdict.difference = reference::compare(got, want.output);
  verdict.bound = reference::output_bound(spec_);
  if (!(verdict.difference.relative_l2 <= verdict.bound)) {
    verdict.failures.push_back(fmt::format("output: relative L2 {:.2e} is over its bound {:.2e}",
                                           verdict.difference.relative_l2, verdict.bound));
  }
  operands.q = reference::multiplied(spec_.compute.matmul, operands.q);
  const std::vector<double> want_lse = reference::attention(spec_.attention, operands).lse;
  const double lse_error = reference::compare(lse(), want_lse).max_abs;
  const double lse_bound = reference::lse_bound(spec_);
  if (!(lse_error <= lse_bound)) {
    verdict.failures.push_back(
        fmt::format("LSE: an error of {:.2e} is over its bound {:.2e}", lse_error, lse_bound));
  }
  const reference::Result ideal = reference::attention(spec_.attention, unquantised());
  verdict.end_to_end_relative_l2 = reference::compare(got, ideal.output).relative_l2;
}

}  // namespace octavo
