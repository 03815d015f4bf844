// The specs that Octavo ships.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "generator/spec.hpp"

namespace octavo {
namespace {

const std::filesystem::path kFolder = std::filesystem::path(OCTAVO_SOURCE_DIR) / "specs";

struct Model {
  std::string file;
  int query_heads, kv_heads, head_dim;
  std::vector<int> windows;  // of each spec that the file stands for; 0 is causal
  double theta;
  double softmax_scale;
  double softcap = 0;
  bool sinks = false;
};

const double kScale64 = 1.0 / 8;
const double kScale128 = 1 / std::sqrt(128.0);

const std::vector<Model> kModels{
    {"falcon-7b", 71, 1, 64, {0}, 10000, kScale64},
    {"gemma-2-9b", 16, 8, 256, {4096, 0}, 10000, 1.0 / 16, 50},
    {"gemma-3-27b", 32, 16, 128, {1024}, 10000, 1 / std::sqrt(168.0)},
    {"gemma-3-27b-global", 32, 16, 128, {0}, 1000000, 1 / std::sqrt(168.0)},
    {"gpt-oss-20b", 64, 8, 64, {128, 0}, 150000, kScale64, 0, true},
    {"llama-3.1-70b", 64, 8, 128, {0}, 500000, kScale128},
    {"llama-3.1-8b", 32, 8, 128, {0}, 500000, kScale128},
    {"mistral-7b", 32, 8, 128, {4096}, 10000, kScale128},
    {"phi-3-medium", 40, 10, 128, {0}, 10000, kScale128},
    {"qwen3-30b-a3b", 32, 4, 128, {0}, 1000000, kScale128},
    {"qwen3-32b", 64, 8, 128, {0}, 1000000, kScale128},
};

}  // namespace

TEST_CASE("each model has its own numbers") {
  for (const Model& model : kModels) {
    CAPTURE(model.file);
    const std::vector<Spec> specs = read_specs(kFolder / (model.file + ".yaml"));
    REQUIRE(specs.size() == model.windows.size());
    for (std::size_t i = 0; i < specs.size(); ++i) {
      const AttentionSpec& attention = specs[i].attention;
      CHECK(attention.query_heads == model.query_heads);
      CHECK(attention.kv_heads == model.kv_heads);
      CHECK(attention.head_dim == HeadDim{model.head_dim, model.head_dim});
      CHECK(attention.mask.window == model.windows[i]);
      CHECK(attention.mask.kind ==
            (model.windows[i] ? MaskKind::sliding_window : MaskKind::causal));
      CHECK(attention.softmax_scale == model.softmax_scale);
      CHECK(attention.softcap == model.softcap);
      CHECK(attention.sinks == model.sinks);
      CHECK(attention.rope == Rope{RopePairing::half, model.head_dim, model.theta});
      CHECK(specs[i].kv_cache == CacheSpec{});
      CHECK(specs[i].compute == Compute{});
      CHECK(specs[i].kernels == Spec{}.kernels);
    }
  }
}

TEST_CASE("every shipped spec is tested, named after its file, and canonical") {
  std::set<std::string> tested;
  for (const Model& model : kModels) tested.insert(model.file);
  std::set<std::string> shipped;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    if (entry.path().extension() != ".yaml") continue;
    const std::string stem = entry.path().stem().string();
    shipped.insert(stem);
    for (const Spec& spec : read_specs(entry.path())) {
      CHECK(spec.name.starts_with(stem));
      CHECK(parse_specs(canonical_yaml(spec), "again.yaml") == std::vector{spec});
    }
  }
  CHECK(shipped == tested);
}

}  // namespace octavo
