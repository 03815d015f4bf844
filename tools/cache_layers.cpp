#include "tools/cache_layers.hpp"

#include <algorithm>
#include <numeric>
#include <random>

#include "tools/random_words.hpp"

namespace octavo {
namespace {

int pages_of(const Spec& spec, int tokens) {
  return (tokens + spec.kv_cache.page_size - 1) / spec.kv_cache.page_size;
}

std::vector<int> shuffled(int pages) {
  std::vector<int> table(static_cast<std::size_t>(pages));
  std::iota(table.begin(), table.end(), 0);
  std::shuffle(table.begin(), table.end(), std::mt19937(1));
  return table;
}

}  // namespace

Buffer upload(const Device& device, const std::vector<int>& values) {
  Buffer buffer(device, values.size() * sizeof(int));
  buffer.upload(values.data(), buffer.bytes());
  return buffer;
}

LayerBytes::LayerBytes(const Spec& spec, int sequences, int tokens_each) {
  const CacheSpec& cache = spec.kv_cache;
  const AttentionSpec& attention = spec.attention;
  const std::size_t rows = static_cast<std::size_t>(sequences) * pages_of(spec, tokens_each) *
                           cache.page_size * attention.kv_heads;
  k = rows * attention.head_dim.qk * bytes_of(cache.format);
  v = rows * attention.head_dim.v * bytes_of(cache.format);
  const bool of_token = cache.scale.granularity == ScaleGranularity::token_head;
  const std::size_t count = of_token ? rows : static_cast<std::size_t>(attention.kv_heads);
  scales = is_fp8(cache.format) ? (4 * count + 255) / 256 * 256 : 0;
}

CacheLayers::CacheLayers(Timing& timing, const Spec& spec, std::size_t layers, int sequences,
                         int tokens_each)
    : bytes_(spec, sequences, tokens_each),
      memory_(timing.device(), layers * bytes_.all()),
      page_table_(upload(timing.device(), shuffled(sequences * pages_of(spec, tokens_each)))),
      page_table_stride_(pages_of(spec, tokens_each)) {
  const DataType format = spec.kv_cache.format;
  constexpr int kExponent = 6;  // of an fp8 cache's numbers, which leaves room to 448
  const auto numbers = normal_numbers(format, is_fp8(format) ? 1 << kExponent : 1);
  const auto scales = powers_of_two(-kExponent - 1, -kExponent);
  for (std::size_t layer = 0; layer < layers; ++layer) {
    const KvCache cache = (*this)[layer];
    timing.fill(cache.k, bytes_.k + bytes_.v, numbers);
    timing.fill(cache.k_scale, 2 * bytes_.scales, scales);
  }
}

KvCache CacheLayers::operator[](std::size_t layer) const {
  KvCache cache{};
  cache.k = memory_.address() + layer * bytes_.all();
  cache.v = cache.k + bytes_.k;
  cache.k_scale = cache.v + bytes_.v;
  cache.v_scale = cache.k_scale + bytes_.scales;
  cache.page_table = page_table_.address();
  cache.page_table_stride = page_table_stride_;
  return cache;
}

}  // namespace octavo
