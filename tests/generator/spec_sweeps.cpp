// One file, many specs.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "generator/spec.hpp"

namespace octavo {
namespace {

std::vector<Spec> sweep(std::string_view attention, std::string_view rest = "") {
  return parse_specs(
      fmt::format("name: m\nattention:\n  query_heads: 8\n  kv_heads: 2\n  head_dim: 64\n{}{}",
                  attention, rest),
      "t.yaml");
}

std::vector<std::string> names(const std::vector<Spec>& specs) {
  std::vector<std::string> result;
  for (const Spec& spec : specs) result.push_back(spec.name);
  return result;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("a list where one value belongs stands for each in turn") {
  const std::vector<Spec> specs = sweep("  sinks: [false, true]\n");
  CHECK(names(specs) == Names{"m.sinks-false", "m.sinks-true"});
  CHECK_FALSE(specs[0].attention.sinks);
  CHECK(specs[1].attention.sinks);
}

TEST_CASE("a list of one is named too, and no list adds nothing") {
  CHECK(names(sweep("  softcap: [50]\n")) == Names{"m.softcap-50"});
  CHECK(names(sweep("  softcap: 50\n")) == Names{"m"});
}

TEST_CASE("the product is in the file's order, the last key fastest") {
  const std::vector<Spec> specs =
      sweep("  softcap: [0, 30]\n", "kv_cache: {page_size: [16, 64], format: [e4m3, e5m2]}\n");
  CHECK(names(specs) == Names{"m.softcap-0.page_size-16.format-e4m3",   //
                              "m.softcap-0.page_size-16.format-e5m2",   //
                              "m.softcap-0.page_size-64.format-e4m3",   //
                              "m.softcap-0.page_size-64.format-e5m2",   //
                              "m.softcap-30.page_size-16.format-e4m3",  //
                              "m.softcap-30.page_size-16.format-e5m2",  //
                              "m.softcap-30.page_size-64.format-e4m3",  //
                              "m.softcap-30.page_size-64.format-e5m2"});
  for (std::size_t i = 0; i < specs.size(); ++i) {
    CHECK(specs[i].attention.softcap == (i / 4 ? 30 : 0));
    CHECK(specs[i].kv_cache.page_size == (i / 2 % 2 ? 64 : 16));
    CHECK(specs[i].kv_cache.format == (i % 2 ? DataType::e5m2 : DataType::e4m3));
  }
}

TEST_CASE("windows sweep inside the map and beside other masks") {
  const std::vector<Spec> inside = sweep("  mask: {sliding_window: [1024, 4096]}\n");
  CHECK(names(inside) == Names{"m.sliding_window-1024", "m.sliding_window-4096"});
  CHECK(inside[1].attention.mask == Mask{MaskKind::sliding_window, 4096});

  const std::vector<Spec> beside =
      sweep("  mask: [none, {sliding_window: [1024, 4096]}, causal]\n");
  CHECK(names(beside) ==
        Names{"m.mask-none", "m.sliding_window-1024", "m.sliding_window-4096", "m.mask-causal"});
  CHECK(beside[0].attention.mask == Mask{MaskKind::none, 0});
  CHECK(beside[2].attention.mask == Mask{MaskKind::sliding_window, 4096});
  CHECK(beside[3].attention.mask == Mask{MaskKind::causal, 0});
}

TEST_CASE("keys that belong together sweep together") {
  const std::vector<Spec> specs =
      sweep("", "compute: [{matmul: fp16}, {matmul: fp8, accumulation: {levels: 2}}]\n");
  CHECK(names(specs) == Names{"m.matmul-fp16", "m.matmul-fp8.levels-2"});
  CHECK(specs[0].compute == Compute{});
  CHECK(specs[1].compute.accumulation.levels == 2);
}

TEST_CASE("kernels is a list of its own") {
  const std::vector<Spec> specs = sweep("", "kernels: [append, decode, prefill]\n");
  REQUIRE(specs.size() == 1);
  CHECK(specs[0].kernels.size() == 3);
  CHECK(specs[0].name == "m");
}

TEST_CASE("a fault in one of the specs is a fault of the file, said once") {
  CHECK_THROWS_WITH_AS(
      sweep("", "kv_cache: {page_size: [16, 20, 64], format: [e4m3, e5m2]}\n"),
      "t.yaml:6:28: kv_cache.page_size: read \"20\"; allowed: a multiple of 8 from 8 to 256",
      SpecError);
  CHECK_THROWS_WITH_AS(
      sweep("", "kv_cache: {format: [e4m3, bf16], scale: head}\n"),
      "t.yaml:6:41: kv_cache.scale: a bf16 cache has no scales; allowed: to leave it "
      "out",
      SpecError);
  CHECK_THROWS_WITH_AS(sweep("  softcap: [50, 50]\n"),
                       "t.yaml:1:1: the lists stand for m.softcap-50 twice; allowed: once",
                       SpecError);
}

TEST_CASE("ten thousand specs are the most") {
  const auto windows = [](int count) {
    std::string text = "  mask: {sliding_window: [1";
    for (int i = 2; i <= count; ++i) text += fmt::format(", {}", i);
    return text + "]}\n";
  };
  CHECK(sweep(windows(2500), "kv_cache: {page_size: [8, 16], format: [e4m3, e5m2]}\n").size() ==
        10'000);
  CHECK_THROWS_WITH_AS(
      sweep(windows(2501), "kv_cache: {page_size: [8, 20], format: [e4m3, e5m2]}\n"),
      "t.yaml:1:1: the lists stand for more than 10000 specs; allowed: 10000", SpecError);

  // The product of these overflows any integer.
  std::string more;
  for (int i = 0; i < 100; ++i) more += fmt::format("key{}: [1, 2]\n", i);
  CHECK_THROWS_AS(sweep("", more), SpecError);
}

}  // namespace octavo
