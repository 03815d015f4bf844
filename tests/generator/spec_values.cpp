// What every key means, its default, and the canonical form and digest.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <set>

#include "generator/spec.hpp"

namespace octavo {
namespace {

Spec only(std::string_view yaml) {
  const std::vector<Spec> specs = parse_specs(yaml, "folder/some-model.yaml");
  REQUIRE(specs.size() == 1);
  return specs.front();
}

constexpr std::string_view kLeast = "attention: {query_heads: 8, kv_heads: 2, head_dim: 64}\n";

constexpr std::string_view kEverything = R"(
octavo: 1
name: Every_key-1.0
attention:
  query_heads: 142
  kv_heads: 2
  head_dim: {qk: 192, v: 128}
  mask: {sliding_window: 4096}
  softmax_scale: 0.1147
  softcap: 30.5
  sinks: true
  rope: {pairing: interleaved, dims: 64, theta: 150000}
kv_cache:
  format: e5m2
  scale: {block: 64}
  layout: paged
  page_size: 16
  history_ready: true
compute:
  matmul: fp8
  accumulation: {levels: 2, promote_every: 256}
input: fp32
output: e4m3
kernels: [prefill, append]
)";

Spec everything() {
  return {.name = "Every_key-1.0",
          .attention = {.query_heads = 142,
                        .kv_heads = 2,
                        .head_dim = {.qk = 192, .v = 128},
                        .mask = {.kind = MaskKind::sliding_window, .window = 4096},
                        .softmax_scale = 0.1147,
                        .softcap = 30.5,
                        .sinks = true,
                        .rope = {.pairing = RopePairing::interleaved, .dims = 64, .theta = 150000}},
          .kv_cache = {.format = DataType::e5m2,
                       .scale = {.granularity = ScaleGranularity::block, .block = 64},
                       .layout = Layout::paged,
                       .page_size = 16,
                       .history_ready = true},
          .compute = {.matmul = Matmul::fp8, .accumulation = {.levels = 2, .promote_every = 256}},
          .input = DataType::fp32,
          .output = DataType::e4m3,
          .kernels = {KernelKind::prefill, KernelKind::append}};
}

}  // namespace

TEST_CASE("defaults: all but heads and head dim") {
  Spec expected;
  expected.name = "some-model";
  expected.attention.query_heads = 8;
  expected.attention.kv_heads = 2;
  expected.attention.head_dim = {.qk = 64, .v = 64};
  expected.attention.softmax_scale = 0.125;
  CHECK(only(kLeast) == expected);
  CHECK(expected.attention.mask.kind == MaskKind::causal);
  CHECK(expected.kv_cache.format == DataType::e4m3);
  CHECK(expected.kv_cache.scale.granularity == ScaleGranularity::token_head);
  CHECK(expected.kv_cache.page_size == 64);
  CHECK(expected.compute.matmul == Matmul::fp16);
  CHECK(expected.attention.group() == 4);
}

TEST_CASE("every key is read") { CHECK(only(kEverything) == everything()); }

TEST_CASE("values in their other forms") {
  const std::string start = "attention:\n  query_heads: 8\n  kv_heads: 8\n  head_dim: 80\n";
  CHECK(only(start).attention.softmax_scale == 1 / std::sqrt(80.0));
  CHECK(only(start + "  mask: none\n").attention.mask == Mask{MaskKind::none, 0});
  CHECK(only(start + "  mask: 'causal'\n").attention.mask == Mask{MaskKind::causal, 0});
  CHECK(only(start + "  rope: none\n").attention.rope == Rope{});
  CHECK(only(start + "  rope: {}\n").attention.rope == Rope{RopePairing::half, 80, 10000});
  CHECK(only(start + "  rope: {theta: 1.5e5, dims: 32}\n").attention.rope ==
        Rope{RopePairing::half, 32, 150000});
  CHECK(only(start + "  softcap: 0.0\n").attention.softcap == 0);
  CHECK(only(start + "kv_cache: {scale: channel}\n").kv_cache.scale ==
        Scale{ScaleGranularity::channel, 0});
  CHECK(only(start + "kv_cache: {scale: tensor, layout: contiguous}\n").kv_cache.layout ==
        Layout::contiguous);
  CHECK(only(start + "name: \"123\"\n").name == "123");
  CHECK(only(start + "name: \"null\"\n").name == "null");
}

TEST_CASE("matmul follows a 16-bit cache") {
  const std::string start(kLeast);
  CHECK(only(start + "kv_cache: {format: bf16}\n").compute.matmul == Matmul::bf16);
  CHECK(only(start + "kv_cache: {format: fp16}\n").compute.matmul == Matmul::fp16);
  CHECK(only(start + "kv_cache: {format: e5m2}\n").compute.matmul == Matmul::fp16);
}

TEST_CASE("a group of 128 and a group of 1 are the limits") {
  CHECK(only("attention: {query_heads: 128, kv_heads: 1, head_dim: 256}\n").attention.group() ==
        128);
  CHECK(only("attention: {query_heads: 7, kv_heads: 7, head_dim: 32}\n").attention.group() == 1);
}

TEST_CASE("the types' names and sizes") {
  CHECK(name_of(DataType::fp32) == "fp32");
  CHECK(name_of(MaskKind::sliding_window) == "sliding_window");
  CHECK(name_of(ScaleGranularity::channel) == "channel");
  CHECK(name_of(Layout::paged) == "paged");
  CHECK(name_of(Matmul::bf16) == "bf16");
  CHECK(name_of(KernelKind::merge) == "merge");
  CHECK(name_of(RopePairing::interleaved) == "interleaved");
  CHECK(bytes_of(DataType::e4m3) == 1);
  CHECK(bytes_of(DataType::e5m2) == 1);
  CHECK(bytes_of(DataType::bf16) == 2);
  CHECK(bytes_of(DataType::fp16) == 2);
  CHECK(bytes_of(DataType::fp32) == 4);
  CHECK(is_fp8(DataType::e5m2));
  CHECK_FALSE(is_fp8(DataType::fp16));
}

TEST_CASE("the canonical form is the schema, written out") {
  CHECK("\n" + canonical_yaml(everything()) == kEverything);
  CHECK(canonical_yaml(only(kLeast)) ==
        "octavo: 1\n"
        "name: some-model\n"
        "attention:\n"
        "  query_heads: 8\n"
        "  kv_heads: 2\n"
        "  head_dim: 64\n"
        "  mask: causal\n"
        "  softmax_scale: 0.125\n"
        "  softcap: 0\n"
        "  sinks: false\n"
        "  rope: none\n"
        "kv_cache:\n"
        "  format: e4m3\n"
        "  scale: token_head\n"
        "  layout: paged\n"
        "  page_size: 64\n"
        "compute:\n"
        "  matmul: fp16\n"
        "  accumulation: {levels: 1}\n"
        "input: bf16\n"
        "output: bf16\n"
        "kernels: [append, decode]\n");
}

TEST_CASE("parsing the canonical form gives the spec again") {
  for (std::string_view more :
       {"", "kv_cache: {format: bf16, layout: contiguous}\n", "name: \"null\"\n",
        "compute: {matmul: fp8, accumulation: {levels: 2}}\n", "kernels: [decode]\n"}) {
    const Spec spec = only(std::string(kLeast) + std::string(more));
    CAPTURE(more);
    CHECK(only(canonical_yaml(spec)) == spec);
  }
  Spec spec = everything();
  for (double number : {1.0 / 3, 1e-6, 1000.0, 0.07715167498104596}) {
    spec.attention.softmax_scale = number;
    spec.attention.rope.theta = 1e12 * number / 1000;
    CHECK(only(canonical_yaml(spec)) == spec);
  }
}

TEST_CASE("the digest is stable, and blind to the name alone") {
  CHECK(digest(only(kLeast)) == "e73e834646783e61");
  Spec renamed = everything();
  renamed.name = "another";
  CHECK(digest(renamed) == digest(everything()));
}

TEST_CASE("every field changes the canonical form and the digest") {
  std::vector<Spec> specs(22, everything());
  auto spec = specs.begin();
  ++spec;  // the first stays as it is
  (spec++)->attention.query_heads = 144;
  (spec++)->attention.kv_heads = 1;
  (spec++)->attention.head_dim.qk = 64;
  (spec++)->attention.head_dim.v = 192;
  (spec++)->attention.mask.kind = MaskKind::causal;
  (spec++)->attention.mask.window = 4095;
  (spec++)->attention.softmax_scale = 0.11470000000000001;
  (spec++)->attention.softcap = 0;
  (spec++)->attention.sinks = false;
  (spec++)->attention.rope.pairing = RopePairing::half;
  (spec++)->attention.rope.dims = 192;
  (spec++)->attention.rope.theta = 150001;
  (spec++)->kv_cache.format = DataType::e4m3;
  (spec++)->kv_cache.scale.granularity = ScaleGranularity::head;
  (spec++)->kv_cache.scale.block = 128;
  (spec++)->kv_cache.page_size = 32;
  (spec++)->kv_cache.layout = Layout::contiguous;
  (spec++)->kv_cache.history_ready = false;
  (spec++)->compute.matmul = Matmul::bf16;
  (spec++)->compute.accumulation.levels = 1;
  (spec++)->compute.accumulation.promote_every = 128;
  REQUIRE(spec == specs.end());
  for (DataType type : {DataType::bf16, DataType::fp16}) {
    specs.push_back(everything());
    specs.back().input = type;
    specs.push_back(everything());
    specs.back().output = type;
  }
  specs.push_back(everything());
  specs.back().kernels = {KernelKind::append};

  std::set<std::string> texts;
  std::set<std::string> digests;
  for (const Spec& each : specs) {
    texts.insert(canonical_yaml(each));
    digests.insert(digest(each));
  }
  CHECK(texts.size() == specs.size());
  CHECK(digests.size() == specs.size());
}

}  // namespace octavo
