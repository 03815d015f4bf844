// What emit makes of a plan.
#include <doctest/doctest.h>

#include <stdexcept>

#include "generator/source.hpp"
#include "generator/templates.hpp"

namespace octavo {
namespace {

Plan small_plan() {
  Plan plan{};
  plan.spec.name = "small";
  plan.spec.attention.query_heads = 8;
  plan.spec.attention.kv_heads = 2;
  plan.spec.attention.head_dim = {64, 64};
  plan.spec.attention.softmax_scale = 0.125;
  plan.kernel = KernelKind::decode;
  plan.arch = *find_architecture("sm_90a");
  plan.tunables = {.warps = 4, .stages = 2, .tile_tokens = 32, .row_tiles = 1};
  plan.constants = {{"int", "kHeadDim", "64"}, {"float", "kSoftmaxScale", "0.125f"}};
  plan.skeleton = "arguments.cuh";
  plan.entry = "decode";
  plan.threads = 128;
  plan.shared_bytes = 4096;
  return plan;
}

bool holds(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("banner, arguments, constants, in this order") {
  const std::string text = emit(small_plan()).text;
  CHECK(text.starts_with("// Octavo "));
  CHECK(holds(text, ": decode for sm_90a."));
  CHECK(holds(text, "\n// Spec " + digest(small_plan().spec) + "\n//   octavo: 1\n"));
  CHECK(holds(text, "\n//     query_heads: 8\n"));
  CHECK(holds(text, "//   warps: 4, stages: 2, tile_tokens: 32, row_tiles: 1, merge: fused\n"));
  CHECK(holds(text, "//   128 threads, 4096 bytes of dynamic shared memory\n"));
  CHECK(text.find("struct DecodeArguments") < text.find("constexpr int kHeadDim = 64;"));
  CHECK(text.find("constexpr int kHeadDim = 64;") <
        text.find("constexpr float kSoftmaxScale = 0.125f;"));
  CHECK(text.ends_with("}  // namespace octavo\n"));
  CHECK_FALSE(holds(text, "#pragma once"));
  CHECK_FALSE(holds(text, "#include"));
}

TEST_CASE("the same plan gives the same bytes, whatever the spec's name") {
  Plan plan = small_plan();
  const std::string text = emit(plan).text;
  CHECK(emit(plan).text == text);
  plan.spec.name = "other";
  CHECK(emit(plan).text == text);
  plan.tunables.stages = 3;
  CHECK(emit(plan).text != text);
}

TEST_CASE("the banner leaves out what a kernel does not have") {
  Plan plan = small_plan();
  plan.kernel = KernelKind::append;
  plan.tunables = {.warps = 4};
  CHECK(holds(emit(plan).text, "//   warps: 4\n"));
}

TEST_CASE("the entry is the plan's") { CHECK(emit(small_plan()).entry == "decode"); }

TEST_CASE("a plan that names an unknown template is an error") {
  Plan plan = small_plan();
  plan.policies = {{"scale", "scale/nowhere.cuh"}};
  CHECK_THROWS_WITH_AS(emit(plan), "templates/scale/nowhere.cuh does not exist", std::logic_error);
}

}  // namespace octavo
