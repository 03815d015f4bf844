// The plans of decode and merge: what every axis selects, memory that fits, launches that cover
// every row, and refusals by name.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>

#include "generator/plan_detail.hpp"
#include "generator/source.hpp"
#include "generator/templates.hpp"

namespace octavo {
namespace {

const Architecture& hopper() { return *find_architecture("sm_90a"); }

Spec with_heads(int query_heads, int kv_heads, int qk, int v) {
  Spec spec;
  spec.attention.query_heads = query_heads;
  spec.attention.kv_heads = kv_heads;
  spec.attention.head_dim = {qk, v};
  spec.attention.softmax_scale = 0.1;
  return spec;
}

Spec llama() { return with_heads(32, 8, 128, 128); }

std::string fault_of(const Spec& spec, KernelKind kernel, const Architecture& arch) {
  try {
    plan(spec, kernel, arch);
  } catch (const SpecError& error) {
    return error.lines().front();
  }
  return "";
}

// A spec for each value of each axis, whatever else it has.
std::vector<Plan> plans_of_every_value() {
  std::vector<Plan> result;
  const auto add = [&](const Spec& spec) {
    result.push_back(plan(spec, KernelKind::decode, hopper()));
  };
  for (const DataType type : {DataType::bf16, DataType::fp16, DataType::fp32}) {
    Spec spec = llama();
    spec.input = type;
    add(spec);
  }
  for (const DataType type : {DataType::bf16, DataType::fp16, DataType::e4m3}) {
    Spec spec = llama();
    spec.output = type;
    add(spec);
  }
  for (const DataType format : {DataType::e4m3, DataType::e5m2}) {
    for (const Matmul matmul : {Matmul::fp8, Matmul::fp16, Matmul::bf16}) {
      Spec spec = llama();
      spec.kv_cache.format = format;
      spec.compute.matmul = matmul;
      add(spec);
      spec.compute.accumulation.levels = 2;
      add(spec);
    }
  }
  Spec full = llama();
  full.kv_cache.format = DataType::bf16;
  full.compute.matmul = Matmul::bf16;
  add(full);
  full.kv_cache.format = DataType::fp16;
  full.compute.matmul = Matmul::fp16;
  add(full);
  for (const MaskKind kind : {MaskKind::none, MaskKind::causal, MaskKind::sliding_window}) {
    Spec spec = llama();
    spec.attention.mask = {kind, kind == MaskKind::sliding_window ? 100 : 0};
    spec.attention.softcap = kind == MaskKind::none ? 30 : 0;
    spec.attention.sinks = kind == MaskKind::causal;
    add(spec);
  }
  Spec ready = llama();
  ready.kv_cache.history_ready = true;
  add(ready);
  Spec small_pages = with_heads(8, 2, 256, 256);
  small_pages.kv_cache.page_size = 8;
  add(small_pages);
  Tunables tunables = default_tunables(llama(), hopper());
  tunables.merge = Merge::kernel;
  result.push_back(plan(llama(), KernelKind::decode, hopper(), tunables));
  return result;
}

TEST_CASE("every row of decode's table is selected by some spec, and its source can be emitted") {
  std::set<std::pair<std::string, std::string>> selected;
  for (const Plan& decode : plans_of_every_value()) {
    for (const Policy& policy : decode.policies) selected.emplace(policy.axis, policy.file);
    CHECK(emit(decode).text.find("octavo_decode(") != std::string::npos);
  }
  for (const PolicyFile& row : policy_files()) {
    if (row.axis.starts_with("prefill_")) continue;
    CAPTURE(std::string(row.axis));
    CAPTURE(std::string(row.value));
    CHECK(selected.contains({std::string(row.axis), std::string(row.file)}));
    CHECK_NOTHROW(template_text(row.file));
  }
}

TEST_CASE("tiles are copied beside the grid before where that may still run") {
  const auto history = [](bool ready, std::string_view arch) {
    Spec spec = llama();
    spec.kv_cache.history_ready = ready;
    const Plan decode = plan(spec, KernelKind::decode, *find_architecture(arch));
    const auto axis = std::ranges::find(decode.policies, "history", &Policy::axis);
    REQUIRE(axis != decode.policies.end());
    return std::string(axis->file);
  };
  CHECK(history(true, "sm_90a") == "history/ready.cuh");
  CHECK(history(false, "sm_90a") == "history/late.cuh");
  CHECK(history(true, "sm_89") == "history/late.cuh");  // grids follow each other's end
}

TEST_CASE("shared memory fits on every architecture, whatever the heads and formats") {
  for (const Architecture& arch : architectures()) {
    for (const DataType format : {DataType::e4m3, DataType::bf16}) {
      for (int dim = 32; dim <= 256; dim += 16) {
        for (const int group : {1, 8, 71, 128}) {
          Spec spec = with_heads(group, 1, dim, dim);
          spec.kv_cache.format = format;
          spec.compute.matmul = format == DataType::bf16 ? Matmul::bf16 : Matmul::fp16;
          const Plan decode = plan(spec, KernelKind::decode, arch);
          CAPTURE(std::string(arch.name));
          CAPTURE(dim);
          CAPTURE(group);
          CHECK(decode.shared_bytes <= arch.shared_bytes_per_block);
          CHECK(decode.threads <= 1024);
          CHECK(decode.tunables.stages >= 2);
        }
      }
    }
  }
}

TEST_CASE("a grid has a block for each split, row block of a KV head, and sequence") {
  const Plan decode = plan(llama(), KernelKind::decode, hopper());
  LaunchShape shape{
      .sequences = 3, .tokens = 12, .max_query_tokens = 4, .max_kv_length = 9000, .splits = 5};
  const Grid one_block = grid(decode, shape);  // 4 tokens of 4 heads are 16 rows
  CHECK(one_block.x == 5);
  CHECK(one_block.y == 8);
  CHECK(one_block.z == 3);
  CHECK(arrival_count(decode, shape) == 24);
  shape.max_query_tokens = 5;
  CHECK(grid(decode, shape).y == 16);
  CHECK(grid(plan(llama(), KernelKind::merge, hopper()), shape).x == 1);
}

TEST_CASE("splits fill the device, but do not cut what is short") {
  const Plan decode = plan(llama(), KernelKind::decode, hopper());
  LaunchShape shape{.sequences = 1, .tokens = 1, .max_kv_length = 65536};
  const int splits = choose_splits(decode, shape, 132);
  CHECK(splits * 8 <= 132);
  CHECK(splits * 8 > 132 / 2);
  shape.sequences = 8;
  CHECK(choose_splits(decode, shape, 132) == 2);
  shape.max_kv_length = 1024;
  CHECK(choose_splits(decode, shape, 132) == 1);
  shape.sequences = 64;
  CHECK(choose_splits(decode, shape, 132) == 1);
  shape = {.sequences = 1, .tokens = 1, .max_kv_length = 1024};
  CHECK(choose_splits(decode, shape, 132) == 8);
  shape.max_kv_length = 4096;
  CHECK(choose_splits(decode, shape, 132) == 8);
  shape.max_kv_length = 8192;
  CHECK(choose_splits(decode, shape, 132) == 16);
  shape = {.sequences = 1, .tokens = 1, .max_kv_length = 20};
  CHECK(choose_splits(decode, shape, 132) == 1);
  shape.sequences = 0;
  CHECK(choose_splits(decode, shape, 132) == 1);
}

TEST_CASE("splits count what a window shows, and large tokens as more") {
  LaunchShape shape{.sequences = 1, .tokens = 1, .max_kv_length = 16384};
  const auto chosen = [&](const Spec& spec) {
    return choose_splits(plan(spec, KernelKind::decode, hopper()), shape, 132);
  };
  Spec spec = llama();
  CHECK(chosen(spec) == 16);
  spec.attention.mask = {MaskKind::sliding_window, 128};
  CHECK(chosen(spec) == 1);
  spec.attention.mask.window = 512;
  CHECK(chosen(spec) == 4);
  shape.max_kv_length = 300;  // less than the window
  CHECK(chosen(spec) == 2);
  shape.max_kv_length = 2147483647;
  spec.attention.mask.window = 2147483632;  // with 16 queries the largest int
  shape.max_query_tokens = 16;
  CHECK(chosen(spec) > 1);

  shape = {.sequences = 1, .tokens = 1, .max_kv_length = 4096};
  CHECK(chosen(with_heads(32, 8, 128, 128)) == 8);
  CHECK(chosen(with_heads(32, 8, 64, 64)) == 8);
  CHECK(chosen(with_heads(16, 8, 256, 256)) == 16);
}

TEST_CASE("more splits than multiprocessors are for long sequences") {
  const Plan decode = plan(with_heads(64, 8, 64, 64), KernelKind::decode, hopper());
  REQUIRE(decode.shared_bytes < 110 * 1024);  // two blocks fit
  const auto chosen = [&](int sequences, int kv_length) {
    const LaunchShape shape{
        .sequences = sequences, .tokens = sequences, .max_kv_length = kv_length};
    return choose_splits(decode, shape, 132);
  };
  CHECK(chosen(1, 1024) == 8);
  CHECK(chosen(1, 32768) == 16);
  CHECK(chosen(1, 65536) == 32);
  CHECK(chosen(1, 1 << 20) == 33);
  CHECK(chosen(8, 1024) == 1);
  CHECK(chosen(8, 4096) == 2);
  CHECK(chosen(8, 8192) == 4);
}

TEST_CASE("decode brings a merge kernel only where its plan does not merge by itself") {
  Spec spec = llama();
  spec.kernels = {KernelKind::decode};
  const std::vector<Plan> all = plans(spec, hopper());
  const bool fused = all.front().tunables.merge == Merge::fused;
  CHECK(all.size() == (fused ? 1 : 2));
}

TEST_CASE("what no kernel does is refused by name") {
  Spec spec = llama();
  spec.compute.matmul = Matmul::fp8;
  CHECK(fault_of(spec, KernelKind::decode, *find_architecture("sm_80")) ==
        "compute.matmul: sm_80 has no fp8 matmul, use fp16 or bf16");
  spec = llama();
  spec.kv_cache.scale = {ScaleGranularity::block, 64};
  CHECK(fault_of(spec, KernelKind::decode, hopper()).find("block scales") != std::string::npos);
  spec = llama();
  spec.kv_cache.format = DataType::bf16;
  CHECK(fault_of(spec, KernelKind::decode, hopper()) ==
        "compute.matmul: no kernel multiplies a bf16 cache in fp16, use bf16");
  spec = llama();
  spec.compute = {Matmul::fp8, {2, 16}};
  CHECK(fault_of(spec, KernelKind::decode, hopper()).find("promote_every: 16") !=
        std::string::npos);
}

TEST_CASE("tunables that cannot be are refused") {
  const Tunables good = default_tunables(llama(), hopper());
  const auto refused = [&](auto change) {
    Tunables tunables = good;
    change(tunables);
    CHECK_THROWS_AS(plan(llama(), KernelKind::decode, hopper(), tunables), SpecError);
  };
  refused([](Tunables& t) { t.tile_tokens = 24; });
  refused([](Tunables& t) { t.tile_tokens = 64; });
  refused([](Tunables& t) { t.tile_tokens = 0; });
  refused([](Tunables& t) { t.warps = 0; });
  refused([](Tunables& t) { t.stages = 1; });
  refused([](Tunables& t) { t.row_tiles = 0; });
  refused([](Tunables& t) { t.stages = 50; });
}

}  // namespace
}  // namespace octavo
