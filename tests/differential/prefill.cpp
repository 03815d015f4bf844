// Prefill against float64: every value of every axis, under every order in which asynchronous work
// may complete.
#include <doctest/doctest.h>

#include <cstdlib>
#include <vector>

#include "support.hpp"
#include "tools/trial.hpp"

using namespace octavo;
using namespace octavo::test;

namespace {

struct Row {
  const char* yaml;
  Shape shape;  // of which splits do not matter
};

#define FP8 "compute: {matmul: fp8}\n"
#define TWO_LEVELS "compute: {matmul: fp8, accumulation: {levels: 2}}\n"

const Row kRows[] = {
    // Head dims; whole sequences, and chunks of them.
    {"attention: {query_heads: 2, kv_heads: 1, head_dim: 64}\n" FP8, {{300, 1, 0, 129}, 150}},
    {"attention: {query_heads: 1, kv_heads: 1, head_dim: 64}\n" TWO_LEVELS, {{300}, 300}},
    {"attention: {query_heads: 1, kv_heads: 1, head_dim: 96}\n" TWO_LEVELS, {{200}, 20}},
    {"attention: {query_heads: 1, kv_heads: 1, head_dim: 128}\n" FP8, {{257}, 257}},
    {"attention: {query_heads: 1, kv_heads: 1, head_dim: 128}\n" TWO_LEVELS, {{520}, 100}},
    {"attention: {query_heads: 1, kv_heads: 1, head_dim: 192}\n" TWO_LEVELS, {{150}, 30}},
    {"attention: {query_heads: 1, kv_heads: 1, head_dim: 256}\n" FP8, {{150}, 30}},
    {"attention: {query_heads: 1, kv_heads: 1, head_dim: 256}\n" TWO_LEVELS, {{300}, 30}},
    {"attention: {query_heads: 1, kv_heads: 1, head_dim: {qk: 192, v: 128}}\n" TWO_LEVELS,
     {{150}, 30}},
    {"attention: {query_heads: 1, kv_heads: 1, head_dim: {qk: 32, v: 160}}\n" TWO_LEVELS,
     {{150}, 30}},
    // GQA groups, of which a token's heads may lie in two blocks.
    {"attention: {query_heads: 8, kv_heads: 2, head_dim: 64}\n" FP8, {{100, 70}, 64}},
    {"attention: {query_heads: 10, kv_heads: 2, head_dim: 64}\n" FP8, {{90}, 40}},
    {"attention: {query_heads: 7, kv_heads: 1, head_dim: 64}\n" TWO_LEVELS, {{90, 2}, 40}},
    {"attention: {query_heads: 8, kv_heads: 1, head_dim: 64}\n" FP8, {{90}, 40}},
    {"attention: {query_heads: 16, kv_heads: 1, head_dim: 64}\n" FP8, {{90}, 9}},
    {"attention: {query_heads: 71, kv_heads: 1, head_dim: 64}\n" FP8, {{140}, 5}},
    // Formats and scales.
    {"attention: {query_heads: 1, kv_heads: 1, head_dim: 128}\n"
     "kv_cache: {format: e5m2}\n" FP8,
     {{200}, 20}},
    {"attention: {query_heads: 2, kv_heads: 2, head_dim: 64}\n"
     "kv_cache: {format: e5m2, scale: tensor}\n" TWO_LEVELS,
     {{200}, 20}},
    {"attention: {query_heads: 2, kv_heads: 2, head_dim: 64}\n"
     "kv_cache: {scale: head}\n" TWO_LEVELS,
     {{200}, 20}},
    // 16 bits.
    {"attention: {query_heads: 2, kv_heads: 1, head_dim: 64}\nkv_cache: {format: bf16}\n",
     {{300, 1, 0, 129}, 150}},
    {"attention: {query_heads: 1, kv_heads: 1, head_dim: 128}\nkv_cache: {format: fp16}\n",
     {{300}, 50}},
    {"attention: {query_heads: 1, kv_heads: 1, head_dim: {qk: 96, v: 160}}\n"
     "kv_cache: {format: bf16, layout: contiguous}\n",
     {{200}, 20}},
    {"attention: {query_heads: 1, kv_heads: 1, head_dim: 256}\n"
     "kv_cache: {format: bf16, page_size: 16}\n",
     {{200}, 20}},
    // Layouts.
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 64}\n"
     "kv_cache: {layout: contiguous}\n" FP8,
     {{200, 0, 7}, 70}},
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 64}\n"
     "kv_cache: {page_size: 16}\n" FP8,
     {{200, 0, 7}, 70}},
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 64}\n"
     "kv_cache: {page_size: 24}\n" TWO_LEVELS,
     {{200, 0, 7}, 70}},
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 64}\n"
     "kv_cache: {page_size: 128}\n" FP8,
     {{200, 0, 7}, 70}},
    // What ends inside a strip, a box, a page and the memory of the cache.
    {"attention: {query_heads: 1, kv_heads: 1, head_dim: 96}\n"
     "kv_cache: {layout: contiguous}\n" TWO_LEVELS,
     {{131, 77}, 20}},
    {"attention: {query_heads: 2, kv_heads: 2, head_dim: 192}\n"
     "kv_cache: {page_size: 16}\n" FP8,
     {{145, 33}, 20}},
    {"attention: {query_heads: 1, kv_heads: 1, head_dim: {qk: 64, v: 256}}\n"
     "kv_cache: {page_size: 96}\n" TWO_LEVELS,
     {{210}, 20}},
    {"attention: {query_heads: 1, kv_heads: 1, head_dim: 192}\n"
     "kv_cache: {format: bf16, page_size: 32}\n",
     {{215, 3}, 20}},
    // Masks, softcap, sinks, RoPE.
    {"attention: {query_heads: 2, kv_heads: 1, head_dim: 64, mask: none}\n" FP8, {{200, 9}, 70}},
    {"attention: {query_heads: 2, kv_heads: 1, head_dim: 64, mask: {sliding_window: 33}}\n" FP8,
     {{400, 9, 34}, 100}},
    {"attention: {query_heads: 1, kv_heads: 1, head_dim: 64, mask: {sliding_window: "
     "150}}\n" TWO_LEVELS,
     {{600}, 300}},
    {"attention: {query_heads: 1, kv_heads: 1, head_dim: 64, softcap: 2}\n" FP8, {{150}, 50}},
    {"attention: {query_heads: 3, kv_heads: 1, head_dim: 64, sinks: true}\n" FP8, {{150, 1}, 50}},
    {"attention: {query_heads: 2, kv_heads: 1, head_dim: 64, rope: {pairing: half}}\n" FP8,
     {{150}, 50}},
    // How often sums are promoted.
    {"attention: {query_heads: 1, kv_heads: 1, head_dim: 128}\n"
     "compute: {matmul: fp8, accumulation: {levels: 2, promote_every: 32}}\n",
     {{200}, 20}},
    {"attention: {query_heads: 1, kv_heads: 1, head_dim: 128}\n"
     "compute: {matmul: fp8, accumulation: {levels: 2, promote_every: 96}}\n",
     {{200}, 20}},
    // Inputs and outputs.
    {"attention: {query_heads: 1, kv_heads: 1, head_dim: 64}\ninput: fp16\noutput: fp16\n" FP8,
     {{100, 20}, 50}},
    {"attention: {query_heads: 1, kv_heads: 1, head_dim: 64, rope: {pairing: half}}\n"
     "input: fp32\noutput: e4m3\n" FP8,
     {{100, 20}, 50}},
};

}  // namespace

TEST_CASE("prefill, every axis, value by value, in every order") {
  if (!has_prefill()) return;
  struct Way {
    const char* order;
    int short_blocks, short_rows;
  };
  std::vector<Way> ways = {{"latest", 0, 0}, {"eager", 1, 64}};
  if (device().emulated()) ways.push_back({"random:1", -1, 0});
  for (const auto& [order, short_blocks, short_rows] : ways) {
    setenv("OCTAVO_ASYNC", order, 1);
    for (const Row& row : kRows) {
      CAPTURE(std::string(order));
      CAPTURE(std::string(row.yaml));
      Shape shape = row.shape;
      shape.short_blocks = short_blocks, shape.short_rows = short_rows;
      check_case(spec_of(row.yaml + std::string("kernels: [append, prefill]")), shape, 1);
    }
  }
  unsetenv("OCTAVO_ASYNC");
}

// Both take weights relative to powers of two, so that they are rounded alike. What is left with
// fp8 is how far sums of 14 bits reach: over 128 tokens of prefill with two levels, over all with
// one.
TEST_CASE("decode and prefill of the same rows differ by less than either's rounding") {
  if (!has_prefill()) return;
  struct Pair {
    const char* yaml;
    double bound;
  };
  const Pair kPairs[] = {
      {"kv_cache: {scale: head}\ncompute: {matmul: fp8, accumulation: {levels: 2}}\n", 2.5e-3},
      {"compute: {matmul: fp8, accumulation: {levels: 2}}\n", 4e-3},
      {"compute: {matmul: fp8}\n", 2e-2},
      {"kv_cache: {format: bf16}\n", 1e-4},
  };
  for (const auto& [yaml, bound] : kPairs) {
    CAPTURE(std::string(yaml));
    const Spec spec = spec_of(
        "attention: {query_heads: 4, kv_heads: 1, head_dim: 128}\nkernels: [append, decode, "
        "prefill]\n" +
        std::string(yaml));
    const reference::Inputs inputs = reference::draw_inputs(spec, {1000, 77}, {16, 5}, 3);
    Trial trial(spec, device(), inputs, 1);
    trial.append();
    trial.decode();
    const std::vector<double> decoded = trial.output();
    trial.prefill();
    const double difference = reference::compare(trial.output(), decoded).relative_l2;
    const double error = trial.check().difference.relative_l2;
    INFO("relative L2 between them ", difference, ", of prefill to float64 ", error);
    CHECK(difference <= bound);
  }
}
