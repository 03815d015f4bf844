#include "tools/reference/cache.hpp"

#include <algorithm>
#include <climits>
#include <cmath>
#include <numeric>
#include <random>

#include "tools/reference/formats.hpp"
#include "tools/reference/parallel.hpp"

namespace octavo::reference {

CacheImage::CacheImage(const Spec& spec, const std::vector<int>& lengths, std::uint64_t seed)
    : spec_(spec.kv_cache), kv_heads_(spec.attention.kv_heads), head_dim_(spec.attention.head_dim) {
  const int longest = lengths.empty() ? 0 : *std::max_element(lengths.begin(), lengths.end());
  std::size_t tokens = 0;  // that the cache has room for
  if (spec_.layout == Layout::paged) {
    const auto pages_of = [&](int length) {
      return (length + spec_.page_size - 1) / spec_.page_size;
    };
    stride_ = std::max(pages_of(longest), 1);
    std::vector<int> pages;
    for (const int length : lengths) pages.resize(pages.size() + pages_of(length));
    std::iota(pages.begin(), pages.end(), 1);
    std::mt19937_64 random(seed);
    for (std::size_t i = pages.size(); i > 1; --i) std::swap(pages[i - 1], pages[random() % i]);
    // Entries that nobody may follow.
    constexpr int kNowhere[] = {-1, INT_MAX, INT_MIN, 0x1000000};
    for (std::size_t i = 0; i < lengths.size() * stride_; ++i) {
      page_table_.push_back(kNowhere[i % std::size(kNowhere)]);
    }
    auto next = pages.begin();
    for (std::size_t b = 0; b < lengths.size(); ++b) {
      for (int i = 0; i < pages_of(lengths[b]); ++i) page_table_[b * stride_ + i] = *next++;
    }
    tokens = (1 + pages.size()) * spec_.page_size;
  } else {
    capacity_ = std::max(longest, 1);
    tokens = lengths.size() * capacity_;
  }

  const std::size_t rows = tokens * kv_heads_;
  k.resize(rows * head_dim_.qk * bytes_of(spec_.format));
  v.resize(rows * head_dim_.v * bytes_of(spec_.format));
  if (!is_fp8(spec_.format)) return;
  std::size_t scales = 1;
  if (spec_.scale.granularity == ScaleGranularity::head) scales = kv_heads_;
  if (spec_.scale.granularity == ScaleGranularity::token_head) scales = rows;
  k_scale.resize(scales);
  v_scale.resize(scales);
}

std::size_t CacheImage::slot(int sequence, int token, int head) const {
  if (spec_.layout == Layout::contiguous) {
    return (static_cast<std::size_t>(sequence) * kv_heads_ + head) * capacity_ + token;
  }
  const std::size_t page =
      page_table_[static_cast<std::size_t>(sequence) * stride_ + token / spec_.page_size];
  return (page * kv_heads_ + head) * spec_.page_size + token % spec_.page_size;
}

std::size_t CacheImage::scale_index(std::size_t slot, int head) const {
  if (spec_.scale.granularity == ScaleGranularity::token_head) return slot;
  return spec_.scale.granularity == ScaleGranularity::head ? head : 0;
}

RowReader CacheImage::rows(std::span<const std::byte> values, std::span<const float> scales,
                           int dim) const {
  return [=, this](int sequence, int token, int head, std::span<double> row) {
    const std::size_t from = slot(sequence, token, head);
    load(spec_.format, values.data(), from * dim, row);
    if (scales.empty()) return;
    const double scale = scales[scale_index(from, head)];
    for (double& value : row) value *= scale;
  };
}

namespace {

// The largest magnitude of each KV head.
std::vector<double> largest_of_heads(const Operands& operands, const RowReader& rows, int heads,
                                     int dim) {
  std::vector<double> largest(heads);
  parallel_for(heads, [&](std::size_t head) {
    std::vector<double> row(dim);
    for (int b = 0; b < static_cast<int>(operands.kv_length.size()); ++b) {
      for (int t = 0; t < operands.kv_length[b]; ++t) {
        rows(b, t, static_cast<int>(head), row);
        for (const double value : row) largest[head] = std::max(largest[head], std::abs(value));
      }
    }
  });
  return largest;
}

std::vector<float> scales_for(std::vector<double> largest_values, const CacheSpec& cache) {
  if (cache.scale.granularity == ScaleGranularity::tensor) {
    largest_values = {*std::max_element(largest_values.begin(), largest_values.end())};
  }
  std::vector<float> scales;
  for (const double value : largest_values) {
    scales.push_back(value > 0 ? static_cast<float>(value / largest(cache.format)) : 1.0f);
  }
  return scales;
}

}  // namespace

StaticScales static_scales(const Spec& spec, const Operands& operands) {
  const int heads = spec.attention.kv_heads;
  const HeadDim dim = spec.attention.head_dim;
  return {scales_for(largest_of_heads(operands, operands.k, heads, dim.qk), spec.kv_cache),
          scales_for(largest_of_heads(operands, operands.v, heads, dim.v), spec.kv_cache)};
}

}  // namespace octavo::reference
