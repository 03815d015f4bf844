#include "runtime/attention_arguments.hpp"

#include <fmt/format.h>

#include <cmath>

namespace octavo {
namespace {

// Query tokens of one sequence that decode takes.
constexpr int kMaxQueryTokens = 16;

template <typename Value>
void require(bool right, std::string_view field, Value value, std::string_view expected) {
  if (right) return;
  throw UsageError(fmt::format("{} is {}; expected {}", field, value, expected));
}

void require_pointer(DeviceAddress address, int alignment, std::string_view field) {
  require(address != 0, field, 0, "a device pointer");
  if (address % static_cast<DeviceAddress>(alignment) == 0) return;
  throw UsageError(
      fmt::format("{} is {:#x}; expected a multiple of {} bytes", field, address, alignment));
}

// A packed tensor's rows: where they begin, and how far apart they are.
void require_rows(DeviceAddress address, long long stride, int heads, int dim, DataType type,
                  std::string_view field) {
  require_pointer(address, kRowAlignment, field);
  const long long elements = static_cast<long long>(heads) * dim;
  const std::string name = fmt::format("{}_stride", field);
  require(stride >= elements, name, stride, fmt::format("at least {} elements", elements));
  require(stride * bytes_of(type) % kRowAlignment == 0, name, stride,
          fmt::format("a multiple of {} bytes", kRowAlignment));
}

void require_batch(const Batch& batch) {
  require(batch.sequences >= 0, "batch.sequences", batch.sequences, "0 or more");
  require(batch.tokens >= 0, "batch.tokens", batch.tokens, "0 or more");
  require(batch.tokens == 0 || batch.sequences > 0, "batch.sequences", batch.sequences,
          "1 or more, for there are tokens");
}

void require_batch_pointers(const Batch& batch) {
  require_pointer(batch.token_start, alignof(int), "batch.token_start");
  require_pointer(batch.kv_length, alignof(int), "batch.kv_length");
}

void require_cache(const Spec& spec, const KvCache& cache) {
  require_pointer(cache.k, kRowAlignment, "cache.k");
  require_pointer(cache.v, kRowAlignment, "cache.v");
  if (is_fp8(spec.kv_cache.format)) {
    require_pointer(cache.k_scale, alignof(float), "cache.k_scale");
    require_pointer(cache.v_scale, alignof(float), "cache.v_scale");
  }
  if (spec.kv_cache.layout == Layout::paged) {
    require_pointer(cache.page_table, alignof(int), "cache.page_table");
    require(cache.page_table_stride > 0, "cache.page_table_stride", cache.page_table_stride,
            "1 or more");
  } else {
    require(cache.capacity > 0, "cache.capacity", cache.capacity, "1 or more");
  }
}

// Tokens of one sequence that the cache has a place for.
long long capacity_of(const Spec& spec, const KvCache& cache) {
  if (spec.kv_cache.layout == Layout::contiguous) return cache.capacity;
  return static_cast<long long>(cache.page_table_stride) * spec.kv_cache.page_size;
}

void require_size(const Batch& batch, int max_query_tokens, int max_kv_length) {
  require_batch(batch);
  require(max_kv_length >= 0, "max_kv_length", max_kv_length, "0 or more");
  require(batch.tokens <= static_cast<long long>(batch.sequences) * max_query_tokens,
          "batch.tokens", batch.tokens, "at most batch.sequences * max_query_tokens");
}

// What decode and prefill read and write.
void require_queries(const Spec& spec, const PrefillArguments& arguments, int max_kv_length) {
  if (arguments.batch.tokens == 0) return;
  require_batch_pointers(arguments.batch);
  require_cache(spec, arguments.cache);
  const auto& attention = spec.attention;
  require_rows(arguments.q, arguments.q_stride, attention.query_heads, attention.head_dim.qk,
               spec.input, "q");
  require_pointer(arguments.output, kRowAlignment, "output");
  if (arguments.lse != 0) require_pointer(arguments.lse, alignof(float), "lse");
  if (attention.sinks) require_pointer(arguments.sinks, alignof(float), "sinks");
  if (spec.output == DataType::e4m3) {
    require(std::isfinite(arguments.output_scale) && arguments.output_scale > 0, "output_scale",
            arguments.output_scale, "a positive number");
  }
  const long long capacity = capacity_of(spec, arguments.cache);
  require(max_kv_length <= capacity, "max_kv_length", max_kv_length,
          fmt::format("at most {}, the tokens that the cache holds of a sequence", capacity));
}

}  // namespace

void require_append(const Spec& spec, const AppendArguments& arguments) {
  require_batch(arguments.batch);
  if (arguments.batch.tokens == 0) return;
  require_batch_pointers(arguments.batch);
  require_cache(spec, arguments.cache);
  const auto& attention = spec.attention;
  require_rows(arguments.k, arguments.k_stride, attention.kv_heads, attention.head_dim.qk,
               spec.input, "k");
  require_rows(arguments.v, arguments.v_stride, attention.kv_heads, attention.head_dim.v,
               spec.input, "v");
  if (attention.rope.pairing == RopePairing::none) return;
  if (arguments.q != 0 || arguments.q_rotated != 0) {
    require_rows(arguments.q, arguments.q_stride, attention.query_heads, attention.head_dim.qk,
                 spec.input, "q");
    require_pointer(arguments.q_rotated, kRowAlignment, "q_rotated");
  }
  require_pointer(arguments.rope, 2 * alignof(float), "rope");
}

void require_decode_size(const Batch& batch, const Attention::DecodeSize& size) {
  require(size.max_query_tokens >= 1 && size.max_query_tokens <= kMaxQueryTokens,
          "max_query_tokens", size.max_query_tokens, fmt::format("1 to {}", kMaxQueryTokens));
  require(size.splits >= 0, "splits", size.splits, "0 (chosen for you) or more");
  require_size(batch, size.max_query_tokens, size.max_kv_length);
}

void require_decode(const Spec& spec, const DecodeArguments& arguments,
                    const Attention::DecodeSize& size) {
  require_queries(spec, arguments, size.max_kv_length);
}

void require_prefill(const Spec& spec, const PrefillArguments& arguments,
                     const Attention::PrefillSize& size) {
  require(size.max_query_tokens >= 1, "max_query_tokens", size.max_query_tokens, "1 or more");
  require_size(arguments.batch, size.max_query_tokens, size.max_kv_length);
  require_queries(spec, arguments, size.max_kv_length);
}

void require_short_blocks(const Plan& prefill, const Attention::PrefillSize& size) {
  if (size.short_blocks == 0) return;
  const int block = 16 * prefill.tunables.row_tiles;
  require(size.short_rows > 0 && size.short_rows % 64 == 0 && size.short_rows < block, "short_rows",
          size.short_rows, fmt::format("a multiple of 64 below {}", block));
  const long long rows =
      static_cast<long long>(size.max_query_tokens) * prefill.spec.attention.group();
  const long long most = (rows + size.short_rows - 1) / size.short_rows;
  require(size.short_blocks <= most, "short_blocks", size.short_blocks,
          fmt::format("up to {}", most));
}

}  // namespace octavo
