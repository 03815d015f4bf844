#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "generator/plan_detail.hpp"

namespace octavo {
namespace {

constexpr int kConsumers = 2;  // warpgroups, of 64 rows each
constexpr int kWarps = 4 * (1 + kConsumers);
constexpr int kBlockRows = 64 * kConsumers;
constexpr int kMostTileTokens = 256;  // columns of one wgmma

bool is_fp8(const Spec& spec) { return spec.compute.matmul == Matmul::fp8; }

bool scale_per_token(const Spec& spec) {
  return is_fp8(spec.kv_cache.format) &&
         spec.kv_cache.scale.granularity == ScaleGranularity::token_head;
}

// As templates/prefill/memory.cuh lays it out.
int shared_bytes(const Spec& spec, const Tunables& tunables) {
  const HeadDim& dim = spec.attention.head_dim;
  const int bytes = bytes_of(spec.kv_cache.format);
  const int stage = tunables.tile_tokens * bytes * (dim.qk + dim.v) + 5 * 8;
  const int copied_values = is_fp8(spec) ? tunables.tile_tokens * dim.v : 0;  // not yet transposed
  const int scales = scale_per_token(spec) ? 4 * tunables.tile_tokens : 0;
  const int factors = scale_per_token(spec) ? scales + 16 : 0;
  return kBlockRows * dim.qk * bytes + tunables.stages * (stage + scales) +
         (tunables.stages - 1) * copied_values + (tunables.stages + 1) * factors;
}

// What the tensor memory accelerator copies at a time: as many rows as divide a warp's share of the
// tile's strips, the tile and the page. None where pages end inside strips.
Boxes boxes(const Spec& spec, const Tunables& tunables) {
  constexpr int kStripTokens = 16, kProducerWarps = 4;
  const CacheSpec& cache = spec.kv_cache;
  const int tile = tunables.tile_tokens;
  const int strips = (tile / kStripTokens + kProducerWarps - 1) / kProducerWarps;
  int rows = std::gcd(strips * kStripTokens, tile);
  if (cache.layout == Layout::paged) rows = std::gcd(rows, cache.page_size);
  if (rows % kStripTokens != 0) return {};
  const auto piece = [&](int dim) {
    const int bytes = dim * bytes_of(cache.format);
    return bytes % 128 == 0 ? 128 : bytes % 64 == 0 ? 64 : 32;  // as templates/prefill/matrix.cuh
  };
  return {rows, piece(spec.attention.head_dim.qk), piece(spec.attention.head_dim.v)};
}

// The most tokens that divide a tile and are promoted together.
int promote_tokens(const Spec& spec, int tile_tokens) {
  int tokens = std::min(tile_tokens, spec.compute.accumulation.promote_every / 32 * 32);
  while (tile_tokens % tokens != 0) tokens -= 32;
  return tokens;
}

void check(const Spec& spec, const Architecture& arch) {
  std::vector<std::string> faults;
  const HeadDim& dim = spec.attention.head_dim;
  const std::string_view format = name_of(spec.kv_cache.format);
  if (!arch.wgmma) {
    faults.push_back(
        fmt::format("kernels: no prefill kernel for {} yet, use decode: it takes up to 16 query "
                    "tokens of a sequence at a time",
                    arch.name));
  }
  if (dim.qk % 32 != 0 || dim.v % 32 != 0) {
    faults.push_back(fmt::format(
        "attention.head_dim: prefill has multiples of 32, not {{qk: {}, v: {}}}, use decode",
        dim.qk, dim.v));
  }
  if (is_fp8(spec.kv_cache.format) && !is_fp8(spec)) {
    faults.push_back(
        fmt::format("compute.matmul: prefill multiplies a cache of {} in fp8 alone yet, not in {}",
                    format, name_of(spec.compute.matmul)));
  }
  if (!faults.empty()) throw SpecError(faults);
}

void check(const Spec& spec, const Architecture& arch, const Tunables& tunables) {
  std::vector<std::string> faults;
  const int tile = tunables.tile_tokens, chunk = tunables.chunk;
  if (tile < 32 || tile > kMostTileTokens || tile % 32 != 0) {
    faults.push_back(
        fmt::format("tile_tokens: {}, expected a multiple of 32 up to {}", tile, kMostTileTokens));
  }
  if (chunk < 32 || chunk % 32 != 0 || spec.attention.head_dim.v % chunk != 0) {
    faults.push_back(fmt::format("chunk: {}, expected a multiple of 32 that divides V's {} dims",
                                 chunk, spec.attention.head_dim.v));
  }
  if (tunables.warps != kWarps || tunables.row_tiles * 16 != kBlockRows || tunables.stages < 2) {
    faults.push_back(fmt::format("tunables: expected {} warps, {} row tiles, 2 stages or more",
                                 kWarps, kBlockRows / 16));
  }
  if (!faults.empty()) throw SpecError(faults);
  const int bytes = shared_bytes(spec, tunables);
  if (bytes > arch.shared_bytes_per_block) {
    throw SpecError({fmt::format("tunables: {} bytes of shared memory, {} has {}", bytes, arch.name,
                                 arch.shared_bytes_per_block)});
  }
}

std::vector<Policy> policies(const Spec& spec, const Architecture& arch, const Boxes& boxes) {
  std::vector<Policy> result = cache_policies(spec, arch);
  const auto add = [&](std::string_view axis, std::string_view value) {
    result.push_back(select_policy(axis, value));
  };
  const std::string_view format = name_of(spec.kv_cache.format);
  add("input", name_of(spec.input));
  add("matmul", is_fp8(spec) ? fmt::format("fp8 {}", format) : name_of(spec.compute.matmul));
  add("mask", name_of(spec.attention.mask.kind));
  add("softcap", spec.attention.softcap > 0 ? "on" : "off");
  add("prefill_values", is_fp8(spec) ? "1 byte" : "2 bytes");
  add("prefill_copy", boxes.rows > 0 ? "adjacent" : "scattered");
  add("prefill_accumulation", fmt::to_string(spec.compute.accumulation.levels));
  return result;
}

// Registers of a thread, once the producer has left the consumers most of its own: together no more
// than the 168 a thread that a block of 384 begins with. A producer that copies by boxes needs few,
// and consumers of long rows with scales of their own all that they can get.
struct Registers {
  int producer, consumer;
};
Registers registers(const Spec& spec, const Boxes& boxes) {
  const bool long_rows = spec.attention.head_dim.v > 128 && scale_per_token(spec);
  if (boxes.rows > 0 && long_rows) return {24, 240};
  return {40, 232};
}

std::vector<Constant> constants(const Spec& spec, const Tunables& tunables, const Boxes& boxes) {
  std::vector<Constant> result = attention_constants(spec, tunables.row_tiles, tunables.warps * 32);
  const auto add = [&](std::string_view name, int value) {
    result.push_back({"int", std::string(name), fmt::to_string(value)});
  };
  add("kStages", tunables.stages);
  add("kTileTokens", tunables.tile_tokens);
  if (boxes.rows > 0) add("kBoxRows", boxes.rows);
  if (spec.compute.accumulation.levels == 2) {
    add("kChunk", tunables.chunk);
    add("kPromoteTokens", promote_tokens(spec, tunables.tile_tokens));
  }
  result.push_back({"bool", "kScoresAhead", tunables.scores_ahead ? "true" : "false"});
  add("kProducerRegisters", registers(spec, boxes).producer);
  add("kConsumerRegisters", registers(spec, boxes).consumer);
  add("kSharedBytes", shared_bytes(spec, tunables));
  return result;
}

// S = Q K^T and O = P V; queries and weights are e4m3 whatever the fp8 of the cache.
std::vector<Wgmma> instructions(const Spec& spec, const Tunables& tunables) {
  const std::string_view cache =
      spec.kv_cache.format == DataType::fp16 ? "f16" : name_of(spec.kv_cache.format);
  const std::string_view a = is_fp8(spec) ? "e4m3" : cache;
  return {{.columns = tunables.tile_tokens, .a = a, .b = cache},
          {.columns = tunables.chunk,
           .a = a,
           .b = cache,
           .a_in_registers = true,
           .b_transposed = !is_fp8(spec)}};
}

// As many dims as divide V's, up to what leaves registers to O: one sum's if it is alone, or two's.
int default_chunk(const Spec& spec, int tile_tokens) {
  const int dim = spec.attention.head_dim.v;
  if (spec.compute.accumulation.levels == 1) return dim;
  const bool alone = dim <= 128 && promote_tokens(spec, tile_tokens) == tile_tokens;
  int chunk = alone ? 128 : 64;
  while (dim % chunk != 0) chunk -= 32;
  return chunk;
}

}  // namespace

Tunables default_prefill_tunables(const Spec& spec, const Architecture& arch) {
  check(spec, arch);
  const int dim = spec.attention.head_dim.v;
  Tunables tunables;
  tunables.warps = kWarps;
  tunables.row_tiles = kBlockRows / 16;
  tunables.tile_tokens = 128;
  tunables.scores_ahead = dim <= 128;
  tunables.stages = 4;
  const auto fits = [&] { return shared_bytes(spec, tunables) <= arch.shared_bytes_per_block; };
  while (!fits() && tunables.stages > 2) --tunables.stages;
  while (!fits()) tunables.tile_tokens -= 32;
  tunables.chunk = default_chunk(spec, tunables.tile_tokens);
  return tunables;
}

Plan plan_prefill(const Spec& spec, const Architecture& arch, const Tunables& tunables) {
  check(spec, arch);
  check(spec, arch, tunables);
  Plan plan;
  plan.spec = spec;
  plan.kernel = KernelKind::prefill;
  plan.arch = arch;
  plan.tunables = tunables;
  plan.boxes = boxes(spec, tunables);
  plan.policies = policies(spec, arch, plan.boxes);
  add_end(plan);
  plan.constants = constants(spec, tunables, plan.boxes);
  plan.instructions = instructions(spec, tunables);
  plan.skeleton = "kernels/prefill.cuh";
  plan.entry = "octavo_prefill";
  plan.threads = tunables.warps * 32;
  plan.shared_bytes = shared_bytes(spec, tunables);
  return plan;
}

Grid grid_prefill(const Plan& plan, const LaunchShape& shape) {
  const int rows = shape.max_query_tokens * plan.spec.attention.group();
  const int blocks = (rows + kBlockRows - 1) / kBlockRows * plan.spec.attention.kv_heads;
  return {static_cast<unsigned>(blocks), 1, static_cast<unsigned>(shape.sequences)};
}

}  // namespace octavo
