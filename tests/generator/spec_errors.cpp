// Every fault that a spec can have, and the exact line that it gives.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>

#include "generator/spec.hpp"

namespace octavo {
namespace {

std::string faults_of(std::string_view yaml) {
  try {
    parse_specs(yaml, "t.yaml");
  } catch (const SpecError& error) {
    CHECK(fmt::format("{}", fmt::join(error.lines(), "\n")) == error.what());
    return error.what();
  }
  return "no fault";
}

// The spec of these lines under `attention`, after heads and head_dim, which take lines 2 to 4.
std::string attention(std::string_view line) {
  return fmt::format("attention:\n  query_heads: 8\n  kv_heads: 2\n  head_dim: 64\n  {}\n", line);
}

// The spec of these lines at the top level, from line 5 on.
std::string top(std::string_view lines) {
  return fmt::format("attention:\n  query_heads: 8\n  kv_heads: 2\n  head_dim: 64\n{}\n", lines);
}

std::string heads(std::string_view query, std::string_view kv, std::string_view dim) {
  return fmt::format("attention: {{query_heads: {}, kv_heads: {}, head_dim: {}}}\n", query, kv,
                     dim);
}

struct Case {
  std::string yaml;
  std::string_view fault;
};

void check(const std::vector<Case>& cases) {
  for (const auto& [yaml, fault] : cases) {
    CAPTURE(yaml);
    CHECK(faults_of(yaml) == fault);
  }
}

}  // namespace

TEST_CASE("the specs that these tests build on have no fault") {
  CHECK(faults_of(attention("mask: none")) == "no fault");
  CHECK(faults_of(top("output: fp16")) == "no fault");
  CHECK(faults_of(heads("8", "2", "64")) == "no fault");
}

TEST_CASE("whole numbers are plain decimals in their range") {
  constexpr std::string_view kFault =
      "t.yaml:1:26: attention.query_heads: read \"{}\"; allowed: a whole number from 1 to 1024";
  for (std::string_view wrong : {"32.0", "0x20", "1_000", "true", "032", "+32", "3e1", "thirty",
                                 "0", "-8", "1025", "99999999999999999999", ".inf"}) {
    CAPTURE(wrong);
    CHECK(faults_of(heads(wrong, "2", "64")) == fmt::format(kFault, wrong));
  }
  CHECK(faults_of(heads("\"32\"", "2", "64")) == fmt::format(kFault, "32"));
  check({
      {heads("~", "2", "64"),
       "t.yaml:1:13: attention.query_heads: read nothing; allowed: a whole number from 1 to 1024"},
      {heads("{}", "2", "64"),
       "t.yaml:1:26: attention.query_heads: read an empty map; allowed: a whole number from 1 to "
       "1024"},
      {heads("[]", "2", "64"),
       "t.yaml:1:26: attention.query_heads: read an empty list; allowed: a whole number from 1 to "
       "1024"},
      {heads("[[8]]", "2", "64"),
       "t.yaml:1:27: attention.query_heads: read a list; allowed: a whole number from 1 to 1024"},
      {heads("8", "two", "64"),
       "t.yaml:1:39: attention.kv_heads: read \"two\"; allowed: a whole number from 1 to 1024"},
  });
}

TEST_CASE("heads and head dims") {
  constexpr std::string_view kDim =
      "t.yaml:1:52: attention.head_dim: read \"{}\"; allowed: a multiple of 16 from 32 to 256, or "
      "{{qk: ..., v: ...}}";
  for (std::string_view wrong : {"0", "16", "40", "272"}) {
    CHECK(faults_of(heads("8", "2", wrong)) == fmt::format(kDim, wrong));
  }
  check({
      {heads("8", "2", "{qk: 100, v: 8}"),
       "t.yaml:1:57: attention.head_dim.qk: read \"100\"; allowed: a multiple of 16 from 32 to "
       "256\n"
       "t.yaml:1:65: attention.head_dim.v: read \"8\"; allowed: a multiple of 16 from 32 to 256"},
      {heads("8", "2", "{qk: 64}"),
       "t.yaml:1:52: attention.head_dim.v: missing; allowed: a multiple of 16 from 32 to 256"},
      {heads("8", "3", "64"),
       "t.yaml:1:26: attention.query_heads: read 8; allowed: a multiple of kv_heads, 3"},
      {heads("2", "8", "64"),
       "t.yaml:1:26: attention.query_heads: read 2; allowed: a multiple of kv_heads, 8"},
      {heads("258", "2", "64"),
       "t.yaml:1:26: attention.query_heads: read 258, 129 to a KV head; allowed: at most 128 to a "
       "KV "
       "head"},
  });
}

TEST_CASE("what must be there") {
  check({
      {"octavo: 1\n",
       "t.yaml:1:1: attention.head_dim: missing; allowed: a multiple of 16 from 32 to 256, or {qk: "
       "..., v: ...}\n"
       "t.yaml:1:1: attention.kv_heads: missing; allowed: a whole number from 1 to 1024\n"
       "t.yaml:1:1: attention.query_heads: missing; allowed: a whole number from 1 to 1024"},
      {"octavo: 1\nattention:\n  query_heads: 8\n  head_dim: 64\n",
       "t.yaml:3:3: attention.kv_heads: missing; allowed: a whole number from 1 to 1024"},
      {"attention: 5\n",
       "t.yaml:1:12: attention: read \"5\"; allowed: a map of query_heads, kv_heads, head_dim, "
       "mask, "
       "softmax_scale, softcap, sinks, rope"},
      {top("compute:"),
       "t.yaml:5:1: compute: read nothing; allowed: a map of matmul, accumulation"},
  });
}

TEST_CASE("unknown keys, with the nearest one that is known") {
  check({
      {attention("query_head: 8"),
       "t.yaml:5:3: attention.query_head: unknown key; allowed: query_heads, kv_heads, head_dim, "
       "mask, softmax_scale, softcap, sinks, rope (did you mean query_heads?)"},
      {top("kvcache: {}"),
       "t.yaml:5:1: kvcache: unknown key; allowed: octavo, name, attention, kv_cache, compute, "
       "input, output, kernels (did you mean kv_cache?)"},
      {top("zebra: 1"),
       "t.yaml:5:1: zebra: unknown key; allowed: octavo, name, attention, kv_cache, compute, "
       "input, "
       "output, kernels"},
      {attention("mask: {window: 5}"),
       "t.yaml:5:9: attention.mask.sliding_window: missing; allowed: a whole number from 1 to "
       "16777216\n"
       "t.yaml:5:10: attention.mask.window: unknown key; allowed: sliding_window"},
      {top("\"a\\x01\xc3\xa9\": 1"),
       "t.yaml:5:1: a\\x01\\xc3\\xa9: unknown key; allowed: octavo, name, attention, kv_cache, "
       "compute, input, output, kernels"},
  });
}

TEST_CASE("attention's other keys") {
  constexpr std::string_view kRope =
      "t.yaml:5:9: attention.rope: read \"{}\"; allowed: none, {{pairing: ..., dims: ..., theta: "
      "...}}";
  CHECK(faults_of(attention("rope: half")) == fmt::format(kRope, "half"));
  check({
      {attention("mask: diagonal"),
       "t.yaml:5:9: attention.mask: read \"diagonal\"; allowed: none, causal, {sliding_window: "
       "tokens}"},
      {attention("mask: sliding_window"),
       "t.yaml:5:9: attention.mask: read \"sliding_window\"; allowed: none, causal, "
       "{sliding_window: "
       "tokens}"},
      {attention("mask: {sliding_window: 0}"),
       "t.yaml:5:26: attention.mask.sliding_window: read \"0\"; allowed: a whole number from 1 to "
       "16777216"},
      {attention("mask: {sliding_window: -5}"),
       "t.yaml:5:26: attention.mask.sliding_window: read \"-5\"; allowed: a whole number from 1 to "
       "16777216"},
      {attention("softmax_scale: 0"),
       "t.yaml:5:18: attention.softmax_scale: read \"0\"; allowed: a number from 1e-06 to 1000"},
      {attention("softmax_scale: nan"),
       "t.yaml:5:18: attention.softmax_scale: read \"nan\"; allowed: a number from 1e-06 to 1000"},
      {attention("softmax_scale: 1e999"),
       "t.yaml:5:18: attention.softmax_scale: read \"1e999\"; allowed: a number from 1e-06 to "
       "1000"},
      {attention("softcap: -50"),
       "t.yaml:5:12: attention.softcap: read \"-50\"; allowed: 0 (off) or a number from 0.001 to "
       "1000000"},
      {attention("softcap: \"50\""),
       "t.yaml:5:12: attention.softcap: read \"50\"; allowed: 0 (off) or a number from 0.001 to "
       "1000000"},
      {attention("sinks: yes"), "t.yaml:5:10: attention.sinks: read \"yes\"; allowed: true, false"},
      {attention("sinks: 1"), "t.yaml:5:10: attention.sinks: read \"1\"; allowed: true, false"},
      {attention("rope: {pairing: none}"),
       "t.yaml:5:19: attention.rope.pairing: read \"none\"; allowed: half, interleaved"},
      {attention("rope: {dims: 31}"),
       "t.yaml:5:16: attention.rope.dims: read \"31\"; allowed: a multiple of 2 from 2 to 256"},
      {attention("rope: {dims: 66}"),
       "t.yaml:5:16: attention.rope.dims: read 66; allowed: at most the head dim of q and k, 64"},
      {attention("rope: {theta: 0}"),
       "t.yaml:5:17: attention.rope.theta: read \"0\"; allowed: a number from 1 to 1000000000000"},
  });
}

TEST_CASE("the cache") {
  check({
      {top("kv_cache: {format: fp32}"),
       "t.yaml:5:20: kv_cache.format: read \"fp32\"; allowed: e4m3, e5m2, bf16, fp16"},
      {top("kv_cache: {scale: token}"),
       "t.yaml:5:19: kv_cache.scale: read \"token\"; allowed: tensor, head, token_head, channel, "
       "{block: tokens}"},
      {top("kv_cache: {scale: {block: 0}}"),
       "t.yaml:5:27: kv_cache.scale.block: read \"0\"; allowed: a whole number from 1 to 16777216"},
      {top("kv_cache: {scale: {}}"),
       "t.yaml:5:19: kv_cache.scale.block: missing; allowed: a whole number from 1 to 16777216"},
      {top("kv_cache: {layout: ragged}"),
       "t.yaml:5:20: kv_cache.layout: read \"ragged\"; allowed: contiguous, paged"},
      {top("kv_cache: {page_size: 12}"),
       "t.yaml:5:23: kv_cache.page_size: read \"12\"; allowed: a multiple of 8 from 8 to 256"},
      {top("kv_cache: {page_size: 512}"),
       "t.yaml:5:23: kv_cache.page_size: read \"512\"; allowed: a multiple of 8 from 8 to 256"},
      {top("kv_cache: {history_ready: 1}"),
       "t.yaml:5:27: kv_cache.history_ready: read \"1\"; allowed: true, false"},
      {top("kv_cache: {layout: contiguous, page_size: 64}"),
       "t.yaml:5:43: kv_cache.page_size: a contiguous cache has no pages; allowed: to leave it "
       "out"},
      {top("kv_cache: {format: bf16, scale: head}"),
       "t.yaml:5:33: kv_cache.scale: a bf16 cache has no scales; allowed: to leave it out"},
      {top("kv_cache: {format: fp16, scale: token_head}"),
       "t.yaml:5:33: kv_cache.scale: a fp16 cache has no scales; allowed: to leave it out"},
  });
}

TEST_CASE("compute, input and output") {
  check({
      {top("compute: {matmul: int8}"),
       "t.yaml:5:19: compute.matmul: read \"int8\"; allowed: fp8, fp16, bf16"},
      {top("kv_cache: {format: bf16}\ncompute: {matmul: fp8}"),
       "t.yaml:6:19: compute.matmul: read \"fp8\"; allowed: bf16, as the cache is"},
      {top("kv_cache: {format: fp16}\ncompute: {matmul: bf16}"),
       "t.yaml:6:19: compute.matmul: read \"bf16\"; allowed: fp16, as the cache is"},
      {top("compute: {accumulation: {levels: 3}}"),
       "t.yaml:5:34: compute.accumulation.levels: read \"3\"; allowed: a whole number from 1 to 2"},
      {top("compute: {accumulation: {levels: 2}}"),
       "t.yaml:5:34: compute.accumulation.levels: read 2; allowed: 1, as matmul: fp16 accumulates "
       "in "
       "fp32 already"},
      {top("compute: {matmul: fp8, accumulation: {levels: 2, promote_every: 100}}"),
       "t.yaml:5:65: compute.accumulation.promote_every: read \"100\"; allowed: a multiple of 32 "
       "from "
       "32 to 65536"},
      {top("compute: {matmul: fp8, accumulation: {levels: 2, promote_every: 0}}"),
       "t.yaml:5:65: compute.accumulation.promote_every: read \"0\"; allowed: a multiple of 32 "
       "from "
       "32 to 65536"},
      {top("compute: {matmul: fp8, accumulation: {promote_every: 64}}"),
       "t.yaml:5:54: compute.accumulation.promote_every: one level promotes nothing; allowed: to "
       "leave it out, or levels: 2"},
      {top("input: e4m3"), "t.yaml:5:8: input: read \"e4m3\"; allowed: bf16, fp16, fp32"},
      {top("output: fp32"), "t.yaml:5:9: output: read \"fp32\"; allowed: bf16, fp16, e4m3"},
  });
}

TEST_CASE("kernels, name and version") {
  constexpr std::string_view kKernels =
      "t.yaml:5:10: kernels: read {}; allowed: a list of append, decode, prefill, each at most "
      "once";
  constexpr std::string_view kName =
      "t.yaml:5:{}: name: read {}; allowed: letters, digits, '.', '_' and '-', a letter or digit "
      "first, at most 100";
  CHECK(faults_of(top("kernels: []")) == fmt::format(kKernels, "an empty list"));
  CHECK(faults_of(top("kernels: decode")) == fmt::format(kKernels, "\"decode\""));
  CHECK(faults_of(top("kernels: {a: decode}")) == fmt::format(kKernels, "a map"));
  CHECK(faults_of(top("kernels: [merge]")) == fmt::format(kKernels, "\"merge\""));
  CHECK(faults_of(top("kernels: [[decode]]")) == fmt::format(kKernels, "a list"));
  CHECK(faults_of(top("kernels: [decode, decode]")) ==
        fmt::format(kKernels, "\"decode\" a second time"));
  CHECK(faults_of(top("name: a/b")) == fmt::format(kName, 7, "\"a/b\""));
  CHECK(faults_of(top("name: ..")) == fmt::format(kName, 7, "\"..\""));
  CHECK(faults_of(top("name: null")) == fmt::format(kName, 1, "nothing"));
  CHECK(faults_of(top("name: [a, b]")) == fmt::format(kName, 7, "a list"));
  CHECK(faults_of(top("name: " + std::string(101, 'x'))) ==
        fmt::format(kName, 7, '"' + std::string(60, 'x') + "...\""));
  check({
      {top("octavo: 2"), "t.yaml:5:9: octavo: read \"2\"; allowed: 1"},
      {top("octavo: [1]"), "t.yaml:5:9: octavo: read a list; allowed: 1"},
  });
  CHECK_THROWS_WITH_AS(parse_specs(top(""), "a b.yaml"),
                       "a b.yaml:1:1: name: missing, and the file's own name is none; allowed: "
                       "letters, digits, '.', '_' and '-', a letter or digit first, at most 100",
                       SpecError);
}

TEST_CASE("faults come together, in the file's order, each once") {
  check({
      {"octavo: 1\n"
       "attention:\n"
       "  query_heads: 32\n"
       "  kv_heads: 0x8\n"
       "  head_dim: [64, 100, 128]\n"
       "  head_dim: 128\n"
       "  sinks: yes\n"
       "kv_cache:\n"
       "  format: fp16\n"
       "  scale: tensor\n",
       "t.yaml:4:13: attention.kv_heads: read \"0x8\"; allowed: a whole number from 1 to 1024\n"
       "t.yaml:5:18: attention.head_dim: read \"100\"; allowed: a multiple of 16 from 32 to 256, "
       "or "
       "{qk: ..., v: ...}\n"
       "t.yaml:6:3: attention.head_dim: a second time, first in line 5; allowed: once\n"
       "t.yaml:7:10: attention.sinks: read \"yes\"; allowed: true, false\n"
       "t.yaml:10:10: kv_cache.scale: a fp16 cache has no scales; allowed: to leave it out"},
  });
  // An impossible combination is not held against a value that was not read.
  CHECK(faults_of(heads("8", "x", "64")).find('\n') == std::string::npos);
}

TEST_CASE("at most fifty faults are listed") {
  std::string yaml = top("");
  for (int i = 0; i < 80; ++i) yaml += fmt::format("unknown{}: 1\n", i);
  const std::string faults = faults_of(yaml);
  CHECK(std::ranges::count(faults, '\n') == 50);
  CHECK(faults.ends_with("\nt.yaml: only the first 50 faults are shown"));
}

TEST_CASE("what is no single document of plain values") {
  const std::string spec = top("");
  const std::string deep = "a: " + std::string(9, '[') + std::string(9, ']');
  const std::string abyss = "a: " + std::string(30'000, '[') + std::string(30'000, ']');
  check({
      {"", "t.yaml:1:1: read nothing; allowed: a map of octavo, name, attention, ..."},
      {"# nothing\n", "t.yaml:1:1: read nothing; allowed: a map of octavo, name, attention, ..."},
      {"- 1\n", "t.yaml:1:1: read a list; allowed: a map of octavo, name, attention, ..."},
      {"llama", "t.yaml:1:1: read \"llama\"; allowed: a map of octavo, name, attention, ..."},
      {spec + "---\n" + spec, "t.yaml:6:1: a second document; allowed: one"},
      {"a: [1\n", "t.yaml:2:1: not YAML: end of sequence flow not found"},
      {"a: \"\\\x01\"\n", "t.yaml:1:7: not YAML: unknown escape character: \\x01"},
      {"a: &x 1\nb: *x\n", "t.yaml:1:4: an anchor; allowed: plain values, written out"},
      {"a: *x\n", "t.yaml:1:4: not YAML: the referenced anchor is not defined"},
      {"a: !!int 1\n", "t.yaml:1:4: the tag tag:yaml.org,2002:int; allowed: plain values"},
      {"[a]: 1\n", "t.yaml:1:1: a list or map as a key; allowed: a word"},
      {"~: 1\n", "t.yaml:1:1: nothing as a key; allowed: a word"},
      {deep, "t.yaml:1:11: more than 8 lists and maps inside each other"},
      {abyss, "t.yaml:1:11: more than 8 lists and maps inside each other"},
      {spec + std::string(64 * 1024, '#'),
       "t.yaml:1:1: more than 65536 bytes; allowed: a spec, which needs less"},
  });
}

TEST_CASE("files that cannot be read") {
  CHECK_THROWS_WITH_AS(read_specs("/nowhere/x.yaml"),
                       "/nowhere/x.yaml: cannot be read: No such file or directory", SpecError);
  CHECK_THROWS_WITH_AS(read_specs("/tmp"), "/tmp: cannot be read: it is a folder", SpecError);
  CHECK_THROWS_WITH_AS(read_specs("/dev/zero"),
                       "/dev/zero:1:1: more than 65536 bytes; allowed: a spec, which needs less",
                       SpecError);
}

}  // namespace octavo
