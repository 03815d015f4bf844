#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "generator/plan_detail.hpp"

namespace octavo {
namespace {

// Warpgroups that multiply, of 64 rows each; one more brings tiles to them.
int consumers(const Tunables& tunables) { return tunables.row_tiles / 4; }
int block_rows(const Tunables& tunables) { return 16 * tunables.row_tiles; }

constexpr int kMostTileTokens = 256;   // columns of one wgmma
constexpr int kOnes = 8;               // columns of ones after V's dims
constexpr int kMostDimsOfThree = 128;  // of V, whose O three consumers have registers for

bool is_fp8(const Spec& spec) { return spec.compute.matmul == Matmul::fp8; }

bool scale_per_token(const Spec& spec) {
  return is_fp8(spec.kv_cache.format) &&
         spec.kv_cache.scale.granularity == ScaleGranularity::token_head;
}

// As templates/prefill/memory.cuh lays it out.
int shared_bytes(const Spec& spec, const Tunables& tunables) {
  const HeadDim& dim = spec.attention.head_dim;
  const int bytes = bytes_of(spec.kv_cache.format);
  const int values = dim.v * bytes + (is_fp8(spec) ? kOnes : 0);
  constexpr int kBarriers = 3 * 8;
  int stage = tunables.tile_tokens * (dim.qk * bytes + values) + kBarriers;
  int once = (consumers(tunables) * (5 + 64) * 4 + 15) / 16 * 16;  // what rows see
  if (scale_per_token(spec)) {
    stage += 2 * 4 * tunables.tile_tokens + 16;
    once += 2 * 4 * 4;
  }
  if (is_fp8(spec)) once += tunables.tile_tokens * dim.v;  // V before it is transposed
  once += 8;                                               // its barrier
  return block_rows(tunables) * dim.qk * bytes + once + tunables.stages * stage;
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

// Whether that is the whole tile.
bool promotes_tiles(const Spec& spec, int tile_tokens) {
  return promote_tokens(spec, tile_tokens) == tile_tokens;
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
  if ((tunables.row_tiles != 8 && tunables.row_tiles != 12) ||
      tunables.warps != tunables.row_tiles + 4 || tunables.stages < 2) {
    faults.push_back(
        "tunables: expected 8 or 12 row tiles, a warp for each and 4 more, 2 stages or more");
  }
  if (tunables.row_tiles == 12 && spec.attention.head_dim.v > kMostDimsOfThree) {
    faults.push_back(fmt::format("row_tiles: 12 leave registers to {} dims of V, not to {}",
                                 kMostDimsOfThree, spec.attention.head_dim.v));
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
// than what a thread begins with, 168 of a block of 384 and 128 of one of 512.
struct Registers {
  int producer, consumer;
};
Registers registers(const Tunables& tunables) {
  return consumers(tunables) == 2 ? Registers{40, 232} : Registers{32, 160};
}

// Products of S, each of 32 bytes of the queries.
int score_steps(const Spec& spec) {
  return spec.attention.head_dim.qk * bytes_of(spec.kv_cache.format) / 32;
}

// Those whose queries consumers keep in registers: what O and S leave, less what else lives through
// the softmax, in fours. Measured on an H100 with two levels: 4 to 6 % faster at 64 dims, 1 to 9 %
// at 128, 1 % at 256. With one level or in bf16 it gains nothing, and it is slower where scales of
// tokens and two consumers, or a producer with many copies, leave ptxas no room.
int query_steps(const Spec& spec, const Tunables& tunables) {
  if (!is_fp8(spec) || spec.compute.accumulation.levels == 1) return 0;
  constexpr int kLargeBox = 32;
  if (scale_per_token(spec) &&
      (consumers(tunables) == 2 || boxes(spec, tunables).rows < kLargeBox)) {
    return 0;
  }
  int spare =
      registers(tunables).consumer - spec.attention.head_dim.v / 2 - tunables.tile_tokens / 2 - 16;
  if (scale_per_token(spec)) spare -= 12;
  if (!promotes_tiles(spec, tunables.tile_tokens)) spare -= 20;
  if (spec.attention.softcap > 0 || spec.attention.mask.kind == MaskKind::sliding_window) {
    spare -= 4;
  }
  return std::clamp(spare / 4, 0, score_steps(spec));
}

std::vector<Constant> constants(const Spec& spec, const Tunables& tunables, const Boxes& boxes) {
  std::vector<Constant> result = attention_constants(spec, tunables.row_tiles, tunables.warps * 32);
  const auto add = [&](std::string_view name, int value) {
    result.push_back({"int", std::string(name), fmt::to_string(value)});
  };
  add("kStages", tunables.stages);
  add("kTileTokens", tunables.tile_tokens);
  add("kQuerySteps", query_steps(spec, tunables));
  if (boxes.rows > 0) add("kBoxRows", boxes.rows);
  if (spec.compute.accumulation.levels == 2) {
    add("kChunk", tunables.chunk);
    add("kPromoteTokens", promote_tokens(spec, tunables.tile_tokens));
  }
  add("kProducerRegisters", registers(tunables).producer);
  add("kConsumerRegisters", registers(tunables).consumer);
  add("kSharedBytes", shared_bytes(spec, tunables));
  return result;
}

// S = Q K^T and O = P V; queries and weights are e4m3 whatever the fp8 of the cache.
std::vector<Wgmma> instructions(const Spec& spec, const Tunables& tunables) {
  const std::string_view cache =
      spec.kv_cache.format == DataType::fp16 ? "f16" : name_of(spec.kv_cache.format);
  const std::string_view a = is_fp8(spec) ? "e4m3" : cache;
  std::vector<Wgmma> result;
  const auto add = [&](const Wgmma& wgmma) {
    if (std::ranges::find(result, wgmma) == result.end()) result.push_back(wgmma);
  };
  const int tokens = tunables.tile_tokens, held = query_steps(spec, tunables);
  if (held < score_steps(spec)) add({.columns = tokens, .a = a, .b = cache});
  if (held > 0) add({.columns = tokens, .a = a, .b = cache, .a_in_registers = true});
  const auto add_values = [&](int columns) {
    add({.columns = columns,
         .a = a,
         .b = cache,
         .a_in_registers = true,
         .b_transposed = !is_fp8(spec)});
  };
  // The columns of ones come alone, or with the last of V's dims.
  const bool two_levels = spec.compute.accumulation.levels == 2;
  const int dims = two_levels ? tunables.chunk : spec.attention.head_dim.v;
  if (!two_levels || !is_fp8(spec) || dims < spec.attention.head_dim.v) add_values(dims);
  if (is_fp8(spec)) add_values(two_levels ? dims + kOnes : kOnes);
  return result;
}

// A third consumer hides more of the others' waits: where O leaves it the registers, and a producer
// does with few, as it copies by boxes. Of fp8 several parts of a tile, or O as an operand, want
// more.
bool three_consumers(const Spec& spec, const Tunables& tunables) {
  const int dim = spec.attention.head_dim.v;
  if (dim > kMostDimsOfThree || boxes(spec, tunables).rows == 0) return false;
  const bool whole =
      spec.compute.accumulation.levels == 2 && promotes_tiles(spec, tunables.tile_tokens);
  return dim <= kMostDimsOfThree / 2 || !is_fp8(spec) || whole;
}

// As many dims as divide V's, up to what leaves registers to O.
int default_chunk(const Spec& spec, int tile_tokens) {
  const int dim = spec.attention.head_dim.v;
  if (spec.compute.accumulation.levels == 1) return dim;
  if (dim > 192 && scale_per_token(spec) && !promotes_tiles(spec, tile_tokens)) return 32;
  for (int chunk : {64, 96}) {
    if (dim % chunk == 0) return chunk;
  }
  return 32;
}

}  // namespace

Tunables default_prefill_tunables(const Spec& spec, const Architecture& arch) {
  check(spec, arch);
  Tunables tunables;
  tunables.tile_tokens = 128;
  tunables.row_tiles = three_consumers(spec, tunables) ? 12 : 8;
  tunables.warps = tunables.row_tiles + 4;
  tunables.stages = 6;
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

}  // namespace octavo
