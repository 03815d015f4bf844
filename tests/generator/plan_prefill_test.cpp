// What prefill's plans choose, and what they refuse.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "generator/plan_detail.hpp"
#include "generator/source.hpp"
#include "generator/templates.hpp"

namespace octavo {
namespace {

const Architecture& hopper() { return *find_architecture("sm_90a"); }

Spec spec_of(int dim, Matmul matmul = Matmul::fp8, DataType format = DataType::e4m3) {
  Spec spec;
  spec.attention.query_heads = 32;
  spec.attention.kv_heads = 8;
  spec.attention.head_dim = {dim, dim};
  spec.attention.softmax_scale = 0.1;
  spec.kv_cache.format = format;
  spec.compute.matmul = matmul;
  return spec;
}

Spec two_levels(int dim, int promote_every = 128) {
  Spec spec = spec_of(dim);
  spec.compute.accumulation = {2, promote_every};
  return spec;
}

Plan plan_of(const Spec& spec) { return plan(spec, KernelKind::prefill, hopper()); }

std::vector<std::string> faults_of(const Spec& spec, const Architecture& arch = hopper()) {
  try {
    plan(spec, KernelKind::prefill, arch);
  } catch (const SpecError& error) {
    return error.lines();
  }
  return {};
}

std::string constant_of(const Plan& plan, std::string_view name) {
  for (const Constant& constant : plan.constants) {
    if (constant.name == name) return constant.value;
  }
  return "";
}

}  // namespace

TEST_CASE("every row of prefill's axes is selected by some spec, and its source can be emitted") {
  Spec small_pages = spec_of(128);
  small_pages.kv_cache.page_size = 8;
  std::set<std::pair<std::string, std::string>> selected;
  for (const Spec& spec :
       {spec_of(128), two_levels(128), spec_of(128, Matmul::bf16, DataType::bf16),
        spec_of(128, Matmul::fp16, DataType::fp16), small_pages}) {
    const Plan prefill = plan_of(spec);
    for (const Policy& policy : prefill.policies) selected.emplace(policy.axis, policy.file);
    CHECK(emit(prefill).text.find("octavo_prefill(") != std::string::npos);
  }
  for (const PolicyFile& row : policy_files()) {
    if (!row.axis.starts_with("prefill_")) continue;
    CAPTURE(std::string(row.axis));
    CAPTURE(std::string(row.value));
    CHECK(selected.contains({std::string(row.axis), std::string(row.file)}));
  }
}

TEST_CASE("queries stay in registers as far as O and S leave some") {
  const auto steps = [](int dim, ScaleGranularity scale, int promote_every = 128) {
    Spec spec = two_levels(dim, promote_every);
    spec.kv_cache.scale.granularity = scale;
    return constant_of(plan_of(spec), "kQuerySteps");
  };
  CHECK(steps(64, ScaleGranularity::head) == "2");
  CHECK(steps(128, ScaleGranularity::head) == "4");
  CHECK(steps(256, ScaleGranularity::head) == "6");
  CHECK(steps(256, ScaleGranularity::head, 64) == "1");
  CHECK(steps(64, ScaleGranularity::token_head) == "2");
  CHECK(steps(128, ScaleGranularity::token_head) == "1");
  CHECK(steps(256, ScaleGranularity::token_head) == "0");
  CHECK(constant_of(plan_of(spec_of(128)), "kQuerySteps") == "0");
}

TEST_CASE("each instruction of prefill is written once") {
  Spec spec = two_levels(128);
  spec.kv_cache.scale.granularity = ScaleGranularity::head;
  const Plan held = plan_of(spec);
  CHECK(std::ranges::count(held.instructions, false, &Wgmma::a_in_registers) == 0);
  Tunables tunables = held.tunables;
  tunables.chunk = tunables.tile_tokens = 128;  // P V is S's shape then
  spec.attention.head_dim.v = 256;
  tunables.row_tiles = 8, tunables.warps = 12, tunables.stages = 2;
  const Plan same = plan(spec, KernelKind::prefill, hopper(), tunables);
  const auto& wgmma = same.instructions;
  for (auto i = wgmma.begin(); i != wgmma.end(); ++i) {
    CHECK(std::find(i + 1, wgmma.end(), *i) == wgmma.end());
  }
}

TEST_CASE("shared memory fits, whatever the heads, formats and scales") {
  for (int qk = 32; qk <= 256; qk += 32) {
    for (int v = 32; v <= 256; v += 32) {
      for (const DataType format : {DataType::e4m3, DataType::bf16}) {
        for (const int levels : {1, 2}) {
          Spec spec = spec_of(qk, format == DataType::bf16 ? Matmul::bf16 : Matmul::fp8, format);
          spec.attention.head_dim.v = v;
          if (format == DataType::e4m3) spec.compute.accumulation.levels = levels;
          CAPTURE(qk);
          CAPTURE(v);
          const Plan prefill = plan_of(spec);
          CHECK(prefill.shared_bytes <= hopper().shared_bytes_per_block);
          CHECK(prefill.shared_bytes == std::stoi(constant_of(prefill, "kSharedBytes")));
          const bool three = v <= 64 || (v <= 128 && (format == DataType::bf16 || levels == 2));
          CHECK(prefill.threads == (three ? 512 : 384));
          CHECK(prefill.tunables.stages >= 2);
          CHECK(prefill.tunables.tile_tokens >= 64);
        }
      }
    }
  }
}

TEST_CASE("sums are promoted at least as often as asked, and in equal parts of a tile") {
  CHECK(constant_of(plan_of(two_levels(128)), "kPromoteTokens") == "128");
  CHECK(constant_of(plan_of(two_levels(128, 64)), "kPromoteTokens") == "64");
  CHECK(constant_of(plan_of(two_levels(128, 96)), "kPromoteTokens") == "64");
  CHECK(constant_of(plan_of(two_levels(128, 1024)), "kPromoteTokens") == "128");
  CHECK(constant_of(plan_of(spec_of(128)), "kPromoteTokens").empty());
}

TEST_CASE("boxes divide a warp's share of a tile, and pages; pieces of rows are what is swizzled") {
  const auto rows_of = [](int page_size, int tile_tokens = 128) {
    Spec spec = spec_of(64);
    spec.kv_cache.page_size = page_size;
    Tunables tunables = plan_of(spec).tunables;
    tunables.tile_tokens = tile_tokens;
    tunables.stages = 2;
    return plan(spec, KernelKind::prefill, hopper(), tunables).boxes.rows;
  };
  CHECK(rows_of(64) == 32);
  CHECK(rows_of(16) == 16);
  CHECK(rows_of(48) == 16);
  CHECK(rows_of(96) == 32);
  CHECK(rows_of(64, 64) == 16);
  CHECK(rows_of(64, 96) == 32);
  CHECK(rows_of(64, 160) == 16);
  CHECK(rows_of(64, 256) == 64);
  CHECK(rows_of(8) == 0);
  CHECK(rows_of(24) == 0);
  Spec contiguous = spec_of(96);
  contiguous.kv_cache.layout = Layout::contiguous;
  const Boxes boxes = plan_of(contiguous).boxes;
  CHECK(boxes.rows == 32);
  CHECK(boxes.k_bytes == 32);
  CHECK(plan_of(spec_of(192)).boxes.v_bytes == 64);
  CHECK(plan_of(spec_of(192, Matmul::bf16, DataType::bf16)).boxes.v_bytes == 128);
}

TEST_CASE("its products are named after what the cache holds") {
  const auto text_of = [](const Spec& spec) { return emit(plan_of(spec)).text; };
  const std::string e5m2 = text_of(spec_of(64, Matmul::fp8, DataType::e5m2));
  CHECK(e5m2.find("m64n128k32.f32.e4m3.e5m2 ") != std::string::npos);
  CHECK(e5m2.find("m64n64k32.f32.e4m3.e5m2 ") != std::string::npos);
  const std::string fp16 = text_of(spec_of(64, Matmul::fp16, DataType::fp16));
  CHECK(fp16.find("m64n64k16.f32.f16.f16 ") != std::string::npos);
}

TEST_CASE("a grid has a block for each 192 rows of a KV head, or 128 long ones, and sequence") {
  const LaunchShape shape{.sequences = 3, .tokens = 150, .max_query_tokens = 50};
  const Grid blocks = grid(plan_of(two_levels(128)), shape);
  CHECK(blocks.x == 2 * 8);  // 50 tokens of 4 heads are 200 rows
  CHECK(blocks.y == 1);
  CHECK(blocks.z == 3);
  const LaunchShape shorter{.sequences = 1, .tokens = 48, .max_query_tokens = 48};
  CHECK(grid(plan_of(two_levels(128)), shorter).x == 8);
  CHECK(grid(plan_of(two_levels(128, 64)), shorter).x == 2 * 8);  // parts of tiles
  CHECK(grid(plan_of(spec_of(128)), shorter).x == 2 * 8);         // one level
  CHECK(grid(plan_of(spec_of(256)), shorter).x == 2 * 8);
}

TEST_CASE("short blocks fill the last round") {
  const auto chosen = [](const Spec& spec, int query_tokens) {
    LaunchShape shape{.sequences = 1, .tokens = query_tokens, .max_query_tokens = query_tokens};
    choose_short_blocks(plan_of(spec), shape, 132);
    return shape;
  };
  Spec spec = two_levels(128);
  spec.attention.query_heads = spec.attention.kv_heads = 16;
  spec.attention.mask.kind = MaskKind::none;
  // 86 blocks of 192 rows a head are 10.4 rounds; 82 and 5 of 128 rows are 9.9 and less than one.
  LaunchShape shape = chosen(spec, 16384);
  CHECK(shape.short_blocks == 5);
  CHECK(shape.short_rows == 128);
  CHECK(grid(plan_of(spec), shape).x == (82 + 5) * 16);
  // A round and a third, or nearly two shorter ones.
  shape = chosen(spec, 2048);
  CHECK(shape.short_blocks == 16);
  CHECK(shape.short_rows == 128);
  CHECK(grid(plan_of(spec), shape).x == 16 * 16);
  // One round, shorter with fewer rows a block.
  CHECK(chosen(spec, 512).short_rows == 64);
  // The first rows, which see little, fill the last round by themselves.
  spec.attention.mask.kind = MaskKind::causal;
  CHECK(chosen(spec, 16384).short_blocks == 0);
  CHECK(chosen(spec, 512).short_rows == 64);
  // Whatever there is, all rows are some block's.
  for (int query_tokens = 1; query_tokens < 3000; query_tokens = query_tokens * 5 / 4 + 1) {
    for (const MaskKind mask : {MaskKind::none, MaskKind::causal}) {
      spec.attention.mask.kind = mask;
      shape = chosen(spec, query_tokens);
      const int blocks = static_cast<int>(grid(plan_of(spec), shape).x) / 16;
      CHECK(blocks >= shape.short_blocks);
      CHECK((blocks - shape.short_blocks) * 192 + shape.short_blocks * shape.short_rows >=
            query_tokens);
    }
  }
}

TEST_CASE("what prefill does not do is refused by name") {
  using Lines = std::vector<std::string>;
  CHECK(
      faults_of(spec_of(128), *find_architecture("sm_89")) ==
      Lines{"kernels: no prefill kernel for sm_89 yet, use decode: it takes up to 16 query tokens "
            "of a sequence at a time"});
  CHECK(faults_of(spec_of(80)) ==
        Lines{"attention.head_dim: prefill has multiples of 32, not {qk: 80, v: 80}, use decode"});
  CHECK(faults_of(spec_of(128, Matmul::fp16)) ==
        Lines{"compute.matmul: prefill multiplies a cache of e4m3 in fp8 alone yet, not in fp16"});
  CHECK(faults_of(spec_of(128)).empty());
}

TEST_CASE("tunables that cannot be are refused") {
  const Tunables good = plan_of(two_levels(128)).tunables;
  const auto refused = [&](auto change) {
    Tunables tunables = good;
    change(tunables);
    CHECK_THROWS_AS(plan(two_levels(128), KernelKind::prefill, hopper(), tunables), SpecError);
  };
  refused([](Tunables& t) { t.tile_tokens = 80; });
  refused([](Tunables& t) { t.tile_tokens = 288; });
  refused([](Tunables& t) { t.tile_tokens = 0; });
  refused([](Tunables& t) { t.chunk = 96; });
  refused([](Tunables& t) { t.chunk = 0; });
  refused([](Tunables& t) { t.warps = 8; });
  refused([](Tunables& t) { t.row_tiles = 4; });
  CHECK_THROWS_AS(plan(two_levels(256), KernelKind::prefill, hopper(), good), SpecError);
  refused([](Tunables& t) { t.stages = 1; });
  refused([](Tunables& t) { t.stages = 6; });
}

}  // namespace octavo
