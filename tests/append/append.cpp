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

struct Row {
  int query_heads, kv_heads;
  HeadDim dim;
  const char* rope;
  const char* cache;
  const char* input;
};

// Every format, input, pairing, layout and granularity, each beside several of the others.
constexpr Row kRows[] = {
    {32, 8, {128, 128}, "none", "{}", "bf16"},
    {8, 2, {128, 128}, "{pairing: half}", "{page_size: 48}", "bf16"},
    {71, 1, {64, 64}, "{pairing: interleaved, dims: 24}", "{scale: head, page_size: 8}", "fp16"},
    {6, 2, {32, 48}, "{pairing: half, dims: 24}", "{layout: contiguous}", "fp32"},
    {6, 3, {48, 32}, "{pairing: interleaved}", "{scale: tensor, page_size: 256}", "fp32"},
    {5, 5, {96, 80}, "{pairing: half, dims: 32}", "{format: e5m2, scale: head}", "fp16"},
    {4, 2, {192, 128}, "none", "{format: e5m2, page_size: 104}", "fp32"},
    {4, 2, {256, 256}, "{pairing: half, dims: 128}", "{format: bf16, page_size: 8}", "fp32"},
    {3, 3, {64, 208}, "none", "{format: bf16, layout: contiguous}", "bf16"},
    {8, 1, {128, 32}, "{pairing: interleaved}", "{format: fp16, page_size: 16}", "bf16"},
};

std::string yaml_of(const Row& row) {
  return fmt::format(
      "octavo: 1\n"
      "attention: {{query_heads: {}, kv_heads: {}, head_dim: {{qk: {}, v: {}}}, rope: {}}}\n"
      "kv_cache: {}\ninput: {}\nkernels: [append]\n",
      row.query_heads, row.kv_heads, row.dim.qk, row.dim.v, row.rope, row.cache, row.input);
}

const Shape kShapes[] = {
    {"one token", 1, 1, Queries::rotated},
    {"prefill, Q in place", 4, 130, Queries::rotated_in_place},
    {"a few tokens of many sequences", 25, 9, Queries::rotated},
    {"a context, without Q", 3, 40, Queries::not_given},
    {"no tokens", 3, 0, Queries::rotated},
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
  for (const Row& row : kRows) {
    const std::string yaml = yaml_of(row);
    CAPTURE(yaml);
    const Attention attention(parse_specs(yaml, "case").front(), device());
    for (const Shape& shape : kShapes) {
      CAPTURE(shape.name);
      check_append(attention, shape, ++seed);
    }
  }
}
