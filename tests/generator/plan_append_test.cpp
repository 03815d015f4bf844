// The plan of append: the policies that a spec selects, the launch that covers every row.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "generator/plan_detail.hpp"
#include "generator/source.hpp"

namespace octavo {
namespace {

Spec llama() {
  Spec spec;
  spec.attention.query_heads = 32;
  spec.attention.kv_heads = 8;
  spec.attention.head_dim = {128, 128};
  return spec;
}

Plan on(const Spec& spec, std::string_view arch) {
  return plan_append(spec, *find_architecture(arch));
}

std::string file_of(const Plan& plan, std::string_view axis) {
  const auto found = std::ranges::find(plan.policies, axis, &Policy::axis);
  return found == plan.policies.end() ? "" : found->file;
}

int constant(const Plan& plan, std::string_view name) {
  const auto found = std::ranges::find(plan.constants, name, &Constant::name);
  REQUIRE(found != plan.constants.end());
  return std::stoi(found->value);
}

// Blocks that the kernel itself reckons with for `heads` heads of each token.
unsigned blocks_of(const Plan& plan, int tokens, int heads, int lanes) {
  const int rows = constant(plan, "kThreads") / lanes * constant(plan, "kRowsInFlight");
  return static_cast<unsigned>((tokens * heads + rows - 1) / rows);
}

}  // namespace

TEST_CASE("each axis of append selects the file of its value") {
  Spec spec = llama();
  CHECK(file_of(on(spec, "sm_80"), "fp8_convert") == "fp8_convert/integer.cuh");
  CHECK(file_of(on(spec, "sm_89"), "fp8_convert") == "fp8_convert/hardware.cuh");
  CHECK(file_of(on(spec, "sm_90a"), "rope") == "rope/none.cuh");

  spec.kv_cache.format = DataType::e5m2;
  spec.kv_cache.scale.granularity = ScaleGranularity::head;
  spec.kv_cache.layout = Layout::contiguous;
  spec.input = DataType::fp32;
  spec.attention.rope = {RopePairing::interleaved, 64, 10000};
  const Plan plan = on(spec, "sm_90a");
  CHECK(file_of(plan, "cache") == "cache/e5m2.cuh");
  CHECK(file_of(plan, "scale") == "scale/head.cuh");
  CHECK(file_of(plan, "kv") == "kv/contiguous.cuh");
  CHECK(file_of(plan, "input") == "input/fp32.cuh");
  CHECK(file_of(plan, "rope") == "rope/interleaved.cuh");
  CHECK(constant(plan, "kRopeDims") == 64);
}

TEST_CASE("a 16-bit cache has neither scales nor fp8 conversions") {
  Spec spec = llama();
  spec.kv_cache.format = DataType::bf16;
  const Plan plan = on(spec, "sm_80");
  CHECK(file_of(plan, "scale") == "scale/none.cuh");
  CHECK(file_of(plan, "fp8_convert").empty());
}

TEST_CASE("every combination of append's axes names files that exist") {
  for (const Architecture& arch : architectures()) {
    for (DataType format : {DataType::e4m3, DataType::e5m2, DataType::bf16, DataType::fp16}) {
      for (DataType input : {DataType::bf16, DataType::fp16, DataType::fp32}) {
        for (RopePairing pairing :
             {RopePairing::none, RopePairing::half, RopePairing::interleaved}) {
          for (ScaleGranularity granularity :
               {ScaleGranularity::tensor, ScaleGranularity::head, ScaleGranularity::token_head}) {
            Spec spec = llama();
            spec.kv_cache.format = format;
            spec.kv_cache.scale.granularity = granularity;
            spec.input = input;
            spec.attention.rope = {pairing, 128, 10000};
            CHECK_NOTHROW(emit(plan_append(spec, arch)));
          }
        }
      }
    }
  }
}

TEST_CASE("the grid has the blocks that the kernel hands out, and never none") {
  Spec spec = llama();
  spec.attention.head_dim = {192, 128};
  spec.attention.rope = {RopePairing::half, 64, 10000};
  const Plan plan = on(spec, "sm_90a");
  CHECK(constant(plan, "kLanesQk") == 32);
  CHECK(constant(plan, "kLanesV") == 16);
  for (int tokens : {1, 3, 64, 4097}) {
    LaunchShape shape;
    shape.tokens = tokens;
    const unsigned of_cache = blocks_of(plan, tokens, 8, 32) + blocks_of(plan, tokens, 8, 16);
    CHECK(grid_append(plan, shape).x == of_cache);
    shape.rotates_queries = true;
    CHECK(grid_append(plan, shape).x == of_cache + blocks_of(plan, tokens, 32, 32));
  }
  CHECK(grid_append(plan, LaunchShape{}).x == 1);
}

TEST_CASE("without RoPE no block is launched for Q") {
  const Plan plan = on(llama(), "sm_90a");
  LaunchShape shape;
  shape.tokens = 100;
  shape.rotates_queries = true;
  CHECK(grid_append(plan, shape).x == 2 * blocks_of(plan, 100, 8, 16));
}

TEST_CASE("what append cannot do is refused by name") {
  Spec spec = llama();
  spec.attention.rope = {RopePairing::half, 20, 10000};
  CHECK_THROWS_WITH_AS(on(spec, "sm_90a"),
                       "attention.rope.dims: no kernel rotates 20 dimensions, use a multiple of 8",
                       SpecError);
  spec = llama();
  spec.kv_cache.scale.granularity = ScaleGranularity::channel;
  CHECK_THROWS_WITH_AS(
      on(spec, "sm_90a"),
      "kv_cache.scale: no kernel has channel scales yet, use tensor, head or token_head",
      SpecError);
}

}  // namespace octavo
