// Every value of every axis, at least once, each beside values of the others that could disturb it.
#include <doctest/doctest.h>

#include "support.hpp"

using namespace octavo;
using namespace octavo::test;

namespace {

struct Row {
  const char* yaml;
  Shape shape;
};

const Row kRows[] = {
    // GQA groups: one, powers of two, others, more than the rows of one MMA tile.
    {"attention: {query_heads: 3, kv_heads: 3, head_dim: 64}", {{130}, 1, 0}},
    {"attention: {query_heads: 6, kv_heads: 2, head_dim: 64}", {{65, 64}, 2, 0}},
    {"attention: {query_heads: 10, kv_heads: 2, head_dim: 64}", {{100}, 4, 2}},
    {"attention: {query_heads: 16, kv_heads: 1, head_dim: 64}", {{77}, 3, 0}},
    {"attention: {query_heads: 71, kv_heads: 1, head_dim: 64}", {{90}, 1, 0}},
    {"attention: {query_heads: 128, kv_heads: 1, head_dim: 64}", {{40}, 2, 0}},
    // Head dims.
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 32}", {{70}, 1, 0}},
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 48}", {{70}, 1, 0}},
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 80}", {{70}, 1, 0}},
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 96}", {{70}, 1, 0}},
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 112}", {{70}, 1, 0}},
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 192}", {{70}, 1, 0}},
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 256}", {{70}, 2, 2}},
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: {qk: 192, v: 128}}", {{70}, 1, 0}},
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: {qk: 64, v: 112}}", {{70}, 1, 0}},
    // Formats and scales.
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 128}\n"
     "kv_cache: {format: e5m2}",
     {{150, 3}, 1, 0}},
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 128}\n"
     "kv_cache: {format: bf16}",
     {{150, 3}, 1, 0}},
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 128}\n"
     "kv_cache: {format: fp16}",
     {{150, 3}, 1, 0}},
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 128}\n"
     "kv_cache: {scale: head}",
     {{150, 3}, 1, 0}},
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 128}\n"
     "kv_cache: {format: e5m2, scale: tensor}",
     {{150, 3}, 1, 0}},
    // Layouts.
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 64}\n"
     "kv_cache: {layout: contiguous}",
     {{130, 0, 7}, 2, 0}},
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 64}\n"
     "kv_cache: {page_size: 8}",
     {{130, 0, 7}, 2, 0}},
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 64}\n"
     "kv_cache: {page_size: 16}",
     {{130, 0, 7}, 2, 2}},
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 64}\n"
     "kv_cache: {page_size: 256}",
     {{300, 0, 7}, 2, 3}},
    // A history that is there before the work before decode has ended, in one tile and in many.
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 64}\n"
     "kv_cache: {history_ready: true}",
     {{20, 0, 1500, 7}, 4, 3}},
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 128}\n"
     "kv_cache: {history_ready: true, page_size: 8}",
     {{300, 1}, 2, 0}},
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 128}\n"
     "kv_cache: {history_ready: true}",
     {{40, 1500}, 2, 3}},
    // Masks, softcap, sinks, RoPE.
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 64, mask: none}", {{100, 9}, 8, 0}},
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 64, mask: causal}", {{100, 9}, 16, 2}},
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 64, mask: {sliding_window: 33}}",
     {{200, 9, 34}, 4, 3}},
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 64, softcap: 2}", {{100}, 1, 0}},
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 64, sinks: true}", {{100, 1}, 2, 3}},
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 64, rope: {pairing: half}}",
     {{100, 1}, 2, 0}},
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 96, rope: {pairing: interleaved, dims: "
     "32}}",
     {{100, 1}, 2, 0}},
    // What is multiplied, and how it is summed.
    {"attention: {query_heads: 8, kv_heads: 2, head_dim: 128}\n"
     "compute: {matmul: bf16}",
     {{300}, 1, 2}},
    // Inputs and outputs.
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 64}\ninput: fp16\noutput: fp16",
     {{100, 20}, 1, 2}},
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 64, rope: {pairing: half}}\n"
     "input: fp32\noutput: e4m3",
     {{100, 20}, 1, 2}},
    // Batches of any lengths, more splits than there are tokens.
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 64}", {{1, 0, 2, 0, 3, 64, 65}, 1, 0}},
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 64}", {{0, 1000, 5}, 16, 16}},
    {"attention: {query_heads: 4, kv_heads: 2, head_dim: 96}", {{1500, 40}, 1, 37}},
    // More tiles a warp than it looks up at a time.
    {"attention: {query_heads: 1, kv_heads: 1, head_dim: 32}", {{8500}, 1, 1}},
};

const Row kFp8Rows[] = {
    {"attention: {query_heads: 8, kv_heads: 2, head_dim: 128}\n"
     "compute: {matmul: fp8, accumulation: {levels: 1}}",
     {{300, 31}, 1, 2}},
    {"attention: {query_heads: 8, kv_heads: 2, head_dim: 128}\n"
     "compute: {matmul: fp8, accumulation: {levels: 2, promote_every: 128}}",
     {{300, 31}, 2, 1}},
    {"attention: {query_heads: 8, kv_heads: 2, head_dim: 64}\n"
     "kv_cache: {format: e5m2}\ncompute: {matmul: fp8}",
     {{300, 31}, 1, 0}},
};

void check_rows(std::span<const Row> rows) {
  for (const Row& row : rows) {
    CAPTURE(std::string(row.yaml));
    check_case(spec_of(row.yaml), row.shape, 1);
  }
}

}  // namespace

TEST_CASE("every axis, value by value") { check_rows(kRows); }

TEST_CASE("fp8 multiplication, where the device has it") {
  if (!device().architecture().fp8_mma) {
    MESSAGE("not run: ", std::string(device().architecture().name), " has no fp8 tensor cores");
    return;
  }
  check_rows(kFp8Rows);
}
