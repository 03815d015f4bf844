// What ptxas makes of the shipped specs' kernels and of those that need most registers, on every
// architecture: none keeps registers in memory, and none leaves it to ptxas what is rounded.
// tests/differential/ looks at the registers of its specs.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "generator/plan.hpp"
#include "generator/source.hpp"
#include "runtime/compiler.hpp"
#include "tools/reference/parallel.hpp"

using namespace octavo;

namespace {

std::vector<Plan> all_plans() {
  std::vector<Plan> all;
  for (const auto& file : std::filesystem::directory_iterator(OCTAVO_SOURCE_DIR "/specs")) {
    if (file.path().extension() != ".yaml") continue;
    for (const Spec& spec : read_specs(file.path())) {
      for (const Architecture& arch : architectures()) {
        std::ranges::move(plans(spec, arch), std::back_inserter(all));
      }
    }
  }
  return all;
}

std::vector<Plan> prefill_plans(const char* yaml) {
  std::vector<Plan> all;
  for (const Spec& spec : parse_specs(yaml, "case")) {
    all.push_back(plan(spec, KernelKind::prefill, *find_architecture("sm_90a")));
  }
  return all;
}

// Sums that ptxas may fuse with a product, so that one is rounded which the PTX rounds twice: both
// without a rounding of their own, the product used there alone, in one basic block.
std::vector<std::string> fusible_sums(const std::string& ptx) {
  static const std::regex operand("%f[0-9]+");
  std::map<std::string, int> mentions;
  std::vector<std::pair<std::string, std::vector<std::string>>> lines;  // with their operands
  std::istringstream stream(ptx);
  for (std::string line; std::getline(stream, line);) {
    std::vector<std::string> operands;
    for (std::sregex_iterator i(line.begin(), line.end(), operand), end; i != end; ++i)
      operands.push_back(i->str());
    for (const std::string& name : operands) ++mentions[name];
    lines.emplace_back(std::move(line), std::move(operands));
  }
  std::vector<std::string> found;
  std::set<std::string> products;
  for (const auto& [line, operands] : lines) {
    const auto has = [&text = line](const char* word) { return text.find(word) != text.npos; };
    if (has("$L") || has("bra")) products.clear();
    if (operands.empty()) continue;
    if (has("mul.f32") && mentions[operands[0]] == 2) products.insert(operands[0]);
    if (!has("add.f32") && !has("sub.f32")) continue;
    if (std::any_of(operands.begin() + 1, operands.end(),
                    [&](const std::string& name) { return products.contains(name); }))
      found.push_back(line);
  }
  return found;
}

void check_plans(const std::vector<Plan>& all) {
  std::vector<Resources> resources(all.size());
  std::vector<std::vector<std::string>> fusible(all.size());
  std::vector<std::string> logs(all.size());
  reference::parallel_for(all.size(), [&](std::size_t i) {
    const Binary binary = compile_cached(emit(all[i]), all[i].arch.name).binary;
    resources[i] = binary.resources;
    logs[i] = binary.log;
    fusible[i] = fusible_sums(binary.ptx);
  });
  for (std::size_t i = 0; i < all.size(); ++i) {
    CAPTURE(canonical_yaml(all[i].spec));
    CAPTURE(std::string(all[i].arch.name));
    CAPTURE(std::string(name_of(all[i].kernel)));
    CHECK(resources[i].registers > 0);
    CHECK(resources[i].spill_bytes == 0);
    CHECK(resources[i].stack_bytes == 0);
    // What ptxas says where it makes wgmma wait for what it could run beside.
    CHECK(logs[i].find("wgmma") == std::string::npos);
    for (const std::string& sum : fusible[i]) FAIL_CHECK(sum);
  }
}

}  // namespace

TEST_CASE("sums that may be fused are found") {
  const std::string product = "mul.f32 %f1, %f2, %f3;\n", sum = "add.f32 %f4, %f1, %f5;\n";
  CHECK(fusible_sums(product + sum).size() == 1);
  CHECK(fusible_sums(product + "sub.f32 %f4, %f5, %f1;\n").size() == 1);
  CHECK(fusible_sums(product + sum + "mov.f32 %f6, %f1;\n").empty());
  CHECK(fusible_sums(product + "$L__BB0_1:\n" + sum).empty());
  CHECK(fusible_sums("mul.rn.f32 %f1, %f2, %f3;\n" + sum).empty());
}

TEST_CASE("no kernel of a shipped spec spills, nor leaves roundings open") {
  const std::vector<Plan> all = all_plans();
  REQUIRE(all.size() >= 10 * 5 * 2);
  check_plans(all);
}

TEST_CASE("nor does a decode with the longest rows, the longest products and all that joins them") {
  constexpr const char* kYaml =
      "octavo: 1\n"
      "attention: {query_heads: 1, kv_heads: 1, head_dim: [240, 256], mask: {sliding_window: "
      "128},\n"
      "            softcap: 50, sinks: true}\n"
      "kv_cache: {page_size: 24, scale: [head, token_head]}\n"
      "compute: {matmul: fp8}\n"
      "kernels: [decode]\n";
  std::vector<Plan> all;
  for (const Spec& spec : parse_specs(kYaml, "case")) {
    for (const Architecture& arch : architectures()) {
      if (arch.fp8_mma) all.push_back(plan(spec, KernelKind::decode, arch));
    }
  }
  REQUIRE(all.size() == 4 * 4);
  check_plans(all);
}

TEST_CASE("nor does a prefill whose producer has small boxes to copy and scales to place") {
  constexpr const char* kYaml =
      "octavo: 1\n"
      "attention: {query_heads: 8, kv_heads: 1, mask: [causal, {sliding_window: 500}],\n"
      "            head_dim: [128, {qk: 192, v: 128}], softcap: [0, 30], sinks: true}\n"
      "kv_cache: {format: e5m2, scale: token_head, page_size: 16}\n"
      "compute: {matmul: fp8, accumulation: {levels: 2}}\n"
      "output: e4m3\n"
      "kernels: [prefill]\n";
  const std::vector<Plan> all = prefill_plans(kYaml);
  REQUIRE(all.size() == 2 * 2 * 2);
  check_plans(all);
}

TEST_CASE("nor does a prefill, with one level or two, and all its products run beside the rest") {
  constexpr const char* kYaml =
      "octavo: 1\n"
      "attention: {query_heads: 7, kv_heads: 1, mask: [causal, {sliding_window: 1000}],\n"
      "            head_dim: [64, 96, 128, {qk: 192, v: 128}, 192, 256], softcap: [0, 30]}\n"
      "kv_cache: [{scale: head, layout: contiguous}, {scale: token_head, page_size: [16, 8]}]\n"
      "compute: [{matmul: fp8}, {matmul: fp8, accumulation: {levels: 2, promote_every: [64, "
      "128]}}]\n"
      "kernels: [prefill]\n";
  const std::vector<Plan> all = prefill_plans(kYaml);
  REQUIRE(all.size() == 6 * 2 * 2 * 3 * 3);
  check_plans(all);
}
