#include <algorithm>
#include <cmath>

#include "append_case.hpp"
#include "tools/reference/formats.hpp"

namespace octavo::test {
namespace {

// Values of fp32, in which append reckons.
using Row = std::vector<double>;

Row row_of(const PaddedRows& rows, DataType type, int token, int head, int dim) {
  Row row(dim);
  reference::load(type, rows.data.data(), token * rows.stride + static_cast<long long>(head) * dim,
                  row);
  return row;
}

void store_row(Bytes& to, DataType type, std::size_t first, const Row& row) {
  for (std::size_t i = 0; i < row.size(); ++i) reference::store(type, to.data(), first + i, row[i]);
}

// a * cosine - b * sine, b * cosine + a * sine: each a rounded product, then a fused addition.
void rotate(const Rope& rope, const std::vector<float>& table, int position, Row& row) {
  if (rope.pairing == RopePairing::none) return;
  const int pairs = rope.dims / 2;
  for (int i = 0; i < pairs; ++i) {
    const bool half = rope.pairing == RopePairing::half;
    double& first = row[half ? i : 2 * i];
    double& second = row[half ? i + pairs : 2 * i + 1];
    const std::size_t entry = 2 * (static_cast<std::size_t>(position) * pairs + i);
    const float cosine = table[entry], sine = table[entry + 1];
    const auto a = static_cast<float>(first), b = static_cast<float>(second);
    first = std::fma(b, -sine, a * cosine);
    second = std::fma(a, sine, b * cosine);
  }
}

// The least power of two, 2^-126 or more, that brings the finite values within the format; 1 for
// a row without any but zeros.
float token_scale(const Row& row, DataType format) {
  double largest = 0;
  for (const double value : row) {
    if (std::isfinite(value)) largest = std::max(largest, std::abs(value));
  }
  if (largest == 0) return 1;
  double scale = 0x1p-126;
  while (largest > scale * reference::largest(format)) scale *= 2;
  return static_cast<float>(scale);
}

// Quantises the row of a KV head to its place in the cache.
void append_row(const Spec& spec, const Row& row, std::size_t place, int head, Bytes& cache,
                std::vector<float>& scales) {
  const DataType format = spec.kv_cache.format;
  float scale = 1;
  if (is_fp8(format)) {
    const ScaleGranularity granularity = spec.kv_cache.scale.granularity;
    if (granularity == ScaleGranularity::token_head) scales[place] = token_scale(row, format);
    scale = scales[granularity == ScaleGranularity::token_head ? place
                   : granularity == ScaleGranularity::head     ? head
                                                               : 0];
  }
  Row scaled;
  for (const double value : row) scaled.push_back(static_cast<float>(value) * (1 / scale));
  store_row(cache, format, place * row.size(), scaled);
}

// The row of KV head 0 in the cache and how far it is to the next head's; negative: no such row.
struct Place {
  long long row = -1;
  long long head_stride = 0;
};

Place place_of(const AppendCase& drawn, int sequence, int position) {
  const long long heads = drawn.spec.attention.kv_heads;
  if (drawn.spec.kv_cache.layout == Layout::contiguous) {
    return {sequence * heads * drawn.capacity + position, drawn.capacity};
  }
  const int size = drawn.spec.kv_cache.page_size;
  const int page = drawn.page_table[sequence * drawn.page_table_stride + position / size];
  if (page < 0) return {};
  return {page * heads * size + position % size, size};
}

void append_token(const AppendCase& drawn, int token, int position, const Place& place,
                  Written& written) {
  const Spec& spec = drawn.spec;
  const AttentionSpec& attention = spec.attention;
  const HeadDim& dim = attention.head_dim;
  if (!drawn.q.data.empty()) {
    for (int head = 0; head < attention.query_heads; ++head) {
      Row row = row_of(drawn.q, spec.input, token, head, dim.qk);
      rotate(attention.rope, drawn.rope, position, row);
      store_row(written.q_rotated, spec.input,
                token * drawn.q.stride + static_cast<long long>(head) * dim.qk, row);
    }
  }
  if (place.row < 0) return;
  for (int head = 0; head < attention.kv_heads; ++head) {
    const auto at = static_cast<std::size_t>(place.row + head * place.head_stride);
    Row row = row_of(drawn.k, spec.input, token, head, dim.qk);
    rotate(attention.rope, drawn.rope, position, row);
    append_row(spec, row, at, head, written.k, written.k_scale);
    append_row(spec, row_of(drawn.v, spec.input, token, head, dim.v), at, head, written.v,
               written.v_scale);
  }
}

}  // namespace

Written expected(const AppendCase& drawn) {
  Written written = drawn.before;
  for (std::size_t sequence = 0; sequence < drawn.kv_length.size(); ++sequence) {
    const int end = drawn.token_start[sequence + 1];
    for (int token = drawn.token_start[sequence]; token < end; ++token) {
      const int position = drawn.kv_length[sequence] - (end - token);
      append_token(drawn, token, position, place_of(drawn, static_cast<int>(sequence), position),
                   written);
    }
  }
  return written;
}

}  // namespace octavo::test
