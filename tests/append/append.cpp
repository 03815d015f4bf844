// append on the emulator against the host, every byte of all that it may write to.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <span>
#include <string>

#include "append_case.hpp"
#include "runtime/attention.hpp"

using namespace octavo;
using namespace octavo::test;

namespace {

// Every format, input, pairing, layout and granularity, each beside several of the others.
constexpr const char* kSpecs[] = {
    "attention: {query_heads: 32, kv_heads: 8, head_dim: 128}",
    "attention: {query_heads: 8, kv_heads: 2, head_dim: 128, rope: {pairing: half}}\n"
    "kv_cache: {page_size: 48}",
    "attention: {query_heads: 71, kv_heads: 1, head_dim: 64, rope: {pairing: interleaved, dims: "
    "24}}\n"
    "kv_cache: {format: e4m3, scale: head, page_size: 8}\ninput: fp16",
    "attention: {query_heads: 6, kv_heads: 2, head_dim: {qk: 32, v: 48}, rope: {pairing: half, "
    "dims: 24}}\n"
    "kv_cache: {layout: contiguous}\ninput: fp32",
    "attention: {query_heads: 6, kv_heads: 3, head_dim: {qk: 48, v: 32}, rope: {pairing: "
    "interleaved}}\n"
    "kv_cache: {scale: tensor, page_size: 256}\ninput: fp32",
    "attention: {query_heads: 5, kv_heads: 5, head_dim: {qk: 96, v: 80}, rope: {pairing: half, "
    "dims: 32}}\n"
    "kv_cache: {format: e5m2, scale: head, layout: contiguous}\ninput: fp16",
    "attention: {query_heads: 4, kv_heads: 2, head_dim: {qk: 192, v: 128}}\n"
    "kv_cache: {format: e5m2}\ninput: fp32",
    "attention: {query_heads: 4, kv_heads: 1, head_dim: {qk: 112, v: 240}}\n"
    "kv_cache: {format: e5m2, scale: tensor, page_size: 16}",
    "attention: {query_heads: 4, kv_heads: 2, head_dim: 256, rope: {pairing: half, dims: 128}}\n"
    "kv_cache: {format: bf16, page_size: 8}\ncompute: {matmul: bf16}\ninput: fp32",
    "attention: {query_heads: 3, kv_heads: 3, head_dim: 96}\n"
    "kv_cache: {format: bf16, layout: contiguous}\ncompute: {matmul: bf16}",
    "attention: {query_heads: 8, kv_heads: 1, head_dim: {qk: 128, v: 32}, rope: {pairing: "
    "interleaved}}\n"
    "kv_cache: {format: fp16, page_size: 256}",
    "attention: {query_heads: 4, kv_heads: 4, head_dim: {qk: 64, v: 208}}\n"
    "kv_cache: {format: fp16, page_size: 48}\ninput: fp16",
};

constexpr Shape kShapes[] = {
    {"one token", 1, 1, false},
    {"prefill, Q in place", 4, 130, true},
    {"a few tokens of many sequences", 25, 9, false},
    {"no tokens", 3, 0, false},
};

// The GPU that $OCTAVO_EMULATE names, an H100 by default.
const Device& device() {
  static const Device device = Device::open("emulator");
  return device;
}

template <typename T>
Buffer upload(const std::vector<T>& values) {
  Buffer buffer(device(), values.size() * sizeof(T));
  if (!values.empty()) buffer.upload(values.data(), buffer.bytes());
  return buffer;
}

template <typename T>
std::vector<T> download(const Buffer& buffer) {
  std::vector<T> values(buffer.bytes() / sizeof(T));
  if (!values.empty()) buffer.download(values.data(), buffer.bytes());
  return values;
}

Written append(const Attention& attention, const AppendCase& drawn) {
  const Written& before = drawn.before;
  const Buffer cache_k = upload(before.k), cache_v = upload(before.v);
  const Buffer k_scale = upload(before.k_scale), v_scale = upload(before.v_scale);
  const Buffer q_rotated = upload(before.q_rotated);
  const Buffer q = drawn.in_place ? q_rotated : upload(drawn.q.data);
  const Buffer k = upload(drawn.k.data), v = upload(drawn.v.data), rope = upload(drawn.rope);
  const Buffer page_table = upload(drawn.page_table);
  const Buffer token_start = upload(drawn.token_start), kv_length = upload(drawn.kv_length);

  const Stream stream(device());
  attention.append({.cache = {.k = cache_k.address(),
                              .v = cache_v.address(),
                              .k_scale = k_scale.address(),
                              .v_scale = v_scale.address(),
                              .page_table = page_table.address(),
                              .page_table_stride = drawn.page_table_stride,
                              .capacity = drawn.capacity},
                    .batch = {.token_start = token_start.address(),
                              .kv_length = kv_length.address(),
                              .sequences = static_cast<int>(drawn.kv_length.size()),
                              .tokens = drawn.token_start.back()},
                    .q = q.address(),
                    .q_rotated = q_rotated.address(),
                    .k = k.address(),
                    .v = v.address(),
                    .rope = rope.address(),
                    .q_stride = drawn.q.stride,
                    .k_stride = drawn.k.stride,
                    .v_stride = drawn.v.stride},
                   stream.handle());
  stream.synchronize();
  return {.k = download<std::byte>(cache_k),
          .v = download<std::byte>(cache_v),
          .k_scale = download<float>(k_scale),
          .v_scale = download<float>(v_scale),
          .q_rotated = download<std::byte>(q_rotated)};
}

// "" or how many bytes differ, and the first of them.
template <typename T>
std::string difference(const std::vector<T>& got, const std::vector<T>& want) {
  const auto left = std::as_bytes(std::span(got)), right = std::as_bytes(std::span(want));
  REQUIRE(left.size() == right.size());
  std::size_t count = 0, first = 0;
  for (std::size_t i = left.size(); i-- > 0;) {
    if (left[i] == right[i]) continue;
    first = i;
    ++count;
  }
  if (count == 0) return "";
  return fmt::format("{} of {} bytes differ; byte {} is {:#04x}, expected {:#04x}", count,
                     left.size(), first, left[first], right[first]);
}

void check_append(const Attention& attention, const Shape& shape, std::uint32_t seed) {
  const AppendCase drawn = draw_case(attention.spec(), shape, seed);
  const Written got = append(attention, drawn), want = expected(drawn);
  CHECK(difference(got.k, want.k) == "");
  CHECK(difference(got.v, want.v) == "");
  CHECK(difference(got.k_scale, want.k_scale) == "");
  CHECK(difference(got.v_scale, want.v_scale) == "");
  CHECK(difference(got.q_rotated, want.q_rotated) == "");
}

}  // namespace

TEST_CASE("append writes what it should, bit for bit, and nothing else") {
  std::uint32_t seed = 0;
  for (const char* yaml : kSpecs) {
    CAPTURE(yaml);
    const std::string text = fmt::format("octavo: 1\n{}\nkernels: [append]\n", yaml);
    const Attention attention(parse_specs(text, "case").front(), device());
    for (const Shape& shape : kShapes) {
      CAPTURE(shape.name);
      check_append(attention, shape, ++seed);
    }
  }
}
