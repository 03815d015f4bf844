#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

#include "generator/plan_detail.hpp"

namespace octavo {
namespace {

constexpr int kMmaRows = 16;
constexpr int kRegistersPerMultiprocessor = 65536;

// The memory of a block, as templates/attention/ lays it out.
struct SharedLayout {
  int stage_bytes;   // a tile of K and V, and scales where each token has its own
  int query_offset;  // after the warps' stages
  int query_bytes;   // operands of Q, where they are in shared memory
  int parts_bytes;   // what the warps hand each other at the end, in the place of all that
  int shared_bytes() const { return std::max(query_offset + query_bytes, parts_bytes); }
};

// Bytes that a token's head takes in the cache.
int token_bytes(const Spec& spec) {
  const HeadDim& dim = spec.attention.head_dim;
  return (dim.qk + dim.v) * bytes_of(spec.kv_cache.format);
}

bool scale_per_token(const Spec& spec) {
  return is_fp8(spec.kv_cache.format) &&
         spec.kv_cache.scale.granularity == ScaleGranularity::token_head;
}

// 32-bit registers that a lane needs for one row tile of Q as operands.
int query_registers(const Spec& spec) {
  const bool fp8 = spec.compute.matmul == Matmul::fp8;
  return spec.attention.head_dim.qk / (fp8 ? 8 : 4) + (fp8 ? 2 : 0);
}

// Q stays in registers where the block's other warps and O leave room for it: about 80 registers
// serve everything else, and 128 with the longer steps of fp8.
bool query_in_registers(const Spec& spec, const Tunables& tunables) {
  const int of_lane = std::min(kRegistersPerMultiprocessor / (tunables.warps * 32), 255);
  const int outputs = spec.attention.head_dim.v / 2;
  const int rest = spec.compute.matmul == Matmul::fp8 ? 128 : 80;
  return (outputs + query_registers(spec)) * tunables.row_tiles + rest <= of_lane;
}

// Bytes of a V row that a warp loads at a time: 16 a lane, but 4 where O leaves no registers for
// the eight rows of an fp8 product.
int value_part(const Spec& spec) {
  return spec.compute.matmul == Matmul::fp8 && spec.attention.head_dim.v > 192 ? 32 : 128;
}

// Tiles start at multiples of their length, so none crosses a page of whole tiles.
bool tile_in_page(const Spec& spec, const Tunables& tunables) {
  const CacheSpec& cache = spec.kv_cache;
  return cache.layout == Layout::contiguous || cache.page_size % tunables.tile_tokens == 0;
}

int step_tokens(const Spec& spec) { return spec.compute.matmul == Matmul::fp8 ? 32 : 16; }

SharedLayout layout_of(const Spec& spec, const Tunables& tunables) {
  SharedLayout layout{};
  const HeadDim& dim = spec.attention.head_dim;
  layout.stage_bytes = tunables.tile_tokens * (token_bytes(spec) + (scale_per_token(spec) ? 8 : 0));
  layout.query_offset = tunables.warps * tunables.stages * layout.stage_bytes;
  if (!query_in_registers(spec, tunables)) {
    const int step_dims = spec.compute.matmul == Matmul::fp8 ? 32 : 16;
    const int steps = (dim.qk + step_dims - 1) / step_dims;
    layout.query_bytes = tunables.row_tiles * steps * 32 * 16;
  }
  const int rows = tunables.row_tiles * kMmaRows;
  layout.parts_bytes = tunables.warps * (rows * (8 + dim.v * 4) + 4);
  return layout;
}

void check(const Spec& spec, const Architecture& arch, const Tunables& tunables) {
  std::vector<std::string> faults;
  if (spec.compute.matmul == Matmul::fp8 && !arch.fp8_mma) {
    faults.push_back(
        fmt::format("compute.matmul: {} has no fp8 matmul, use fp16 or bf16", arch.name));
  }
  const std::string operand =
      fmt::format("{} in {}", name_of(spec.kv_cache.format), name_of(spec.compute.matmul));
  if (find_policy("operand", operand) == nullptr) {
    faults.push_back(fmt::format(
        "compute.matmul: no kernel multiplies a {} cache in {}, use {}",
        name_of(spec.kv_cache.format), name_of(spec.compute.matmul),
        is_fp8(spec.kv_cache.format) ? "fp8, fp16 or bf16" : name_of(spec.kv_cache.format)));
  }
  const int step = step_tokens(spec);
  if (spec.compute.accumulation.levels == 2 && spec.compute.accumulation.promote_every < step) {
    faults.push_back(
        fmt::format("compute.accumulation.promote_every: {} is less than the {} tokens "
                    "of one matmul",
                    spec.compute.accumulation.promote_every, step));
  }
  if (tunables.tile_tokens % step != 0 || tunables.tile_tokens < step ||
      tunables.tile_tokens > 32) {
    faults.push_back(fmt::format("tile_tokens: {}, expected a multiple of {} up to 32",
                                 tunables.tile_tokens, step));
  }
  if (tunables.warps < 1 || tunables.warps > 16 || tunables.stages < 2 || tunables.row_tiles < 1) {
    faults.push_back("tunables: expected 1 to 16 warps, 2 stages or more, 1 row tile or more");
  }
  if (!faults.empty()) throw SpecError(faults);
  const int bytes = layout_of(spec, tunables).shared_bytes();
  if (bytes > arch.shared_bytes_per_block) {
    throw SpecError({fmt::format("tunables: {} bytes of shared memory, {} has {}", bytes, arch.name,
                                 arch.shared_bytes_per_block)});
  }
}

std::vector<Policy> policies(const Spec& spec, const Architecture& arch, const Tunables& tunables) {
  const Matmul matmul = spec.compute.matmul;
  const std::string_view format = name_of(spec.kv_cache.format);
  std::vector<Policy> result = cache_policies(spec, arch);
  const auto add = [&](std::string_view axis, std::string_view value) {
    result.push_back(select_policy(axis, value));
  };
  add("input", name_of(spec.input));
  add("matmul", matmul == Matmul::fp8 ? fmt::format("fp8 {}", format) : name_of(matmul));
  add("operand", fmt::format("{} in {}", format, name_of(matmul)));
  add("accumulation", fmt::to_string(spec.compute.accumulation.levels));
  add("mask", name_of(spec.attention.mask.kind));
  add("softcap", spec.attention.softcap > 0 ? "on" : "off");
  add("tile_rows", tile_in_page(spec, tunables) ? "adjacent" : "scattered");
  add("query", query_in_registers(spec, tunables) ? "registers" : "shared");
  return result;
}

// Whether tiles are copied beside the grid before: where that may still run and writes none of
// them.
bool copies_beside(const Spec& spec, const Architecture& arch) {
  return spec.kv_cache.history_ready && arch.dependent_launch;
}

// Blocks that a multiprocessor holds at once.
int resident_blocks(const Architecture& arch, int threads, int shared_bytes) {
  return std::min(arch.shared_bytes_per_multiprocessor / (shared_bytes + 1024), 512 / threads);
}

std::vector<Constant> constants(const Spec& spec, const Architecture& arch,
                                const Tunables& tunables, const SharedLayout& layout) {
  std::vector<Constant> result = attention_constants(spec, tunables.row_tiles, tunables.warps * 32);
  const auto add = [&](std::string_view name, int value) {
    result.push_back({"int", std::string(name), fmt::to_string(value)});
  };
  if (spec.compute.accumulation.levels == 2) {
    add("kPromoteEvery", spec.compute.accumulation.promote_every);
  }
  add("kWarps", tunables.warps);
  add("kStages", tunables.stages);
  add("kTilesAhead", copies_beside(spec, arch) ? tunables.stages : tunables.stages - 1);
  add("kTileTokens", tunables.tile_tokens);
  add("kStageBytes", layout.stage_bytes);
  add("kValuePart", value_part(spec));
  add("kQueryOffset", layout.query_offset);
  add("kResidentBlocks", resident_blocks(arch, tunables.warps * 32, layout.shared_bytes()));
  return result;
}

// The most tokens that a block's rows see.
std::int64_t tokens_seen(const Spec& spec, const LaunchShape& shape) {
  const Mask& mask = spec.attention.mask;
  if (mask.kind != MaskKind::sliding_window) return shape.max_kv_length;
  const std::int64_t of_window = std::int64_t{mask.window} + shape.max_query_tokens - 1;
  return std::min<std::int64_t>(shape.max_kv_length, of_window);
}

int row_blocks(const Plan& plan, const LaunchShape& shape) {
  const int rows = shape.max_query_tokens * plan.spec.attention.group();
  const int block_rows = plan.tunables.row_tiles * kMmaRows;
  return (rows + block_rows - 1) / block_rows;
}

// Row tiles of 16 for one query token, evenly over as few blocks as registers allow: about 96 of
// O's, and 64 with the longer steps of fp8.
int default_row_tiles(const Spec& spec) {
  const int tiles = (spec.attention.group() + kMmaRows - 1) / kMmaRows;
  const int registers = spec.compute.matmul == Matmul::fp8 ? 64 : 96;
  const int most = std::max(1, registers / (spec.attention.head_dim.v / 2));
  const int blocks = (tiles + most - 1) / most;
  return (tiles + blocks - 1) / blocks;
}

}  // namespace

// Bytes in flight hide memory's latency, and more of them than that let some multiprocessors run
// ahead of others: 64 KiB a multiprocessor did best on an H100, in pieces as long as they get, so a
// warp has a tile of about 8 KiB on its way while it works on another. What does not fit shrinks:
// stages first. With several row tiles the code of a longer tile would take NVRTC too long.
Tunables default_tunables(const Spec& spec, const Architecture& arch) {
  constexpr int kBytesInFlight = 8192;  // of a warp
  Tunables tunables;
  tunables.row_tiles = default_row_tiles(spec);
  const bool long_tile = token_bytes(spec) <= 256 && tunables.row_tiles == 1;
  tunables.tile_tokens = long_tile ? 32 : step_tokens(spec);
  tunables.warps = 8;
  const int tile_bytes = tunables.tile_tokens * token_bytes(spec);
  const int stages = 1 + (kBytesInFlight + tile_bytes - 1) / tile_bytes;
  tunables.stages = stages;
  const auto fits = [&] {
    return layout_of(spec, tunables).shared_bytes() <= arch.shared_bytes_per_block;
  };
  while (!fits() && tunables.warps > 1) {
    if (tunables.stages > 2) {
      --tunables.stages;
    } else {
      tunables.warps /= 2;
      tunables.stages = stages;
    }
  }
  return tunables;
}

Plan plan_decode(const Spec& spec, const Architecture& arch, const Tunables& tunables) {
  check(spec, arch, tunables);
  const SharedLayout layout = layout_of(spec, tunables);
  Plan plan;
  plan.spec = spec;
  plan.kernel = KernelKind::decode;
  plan.arch = arch;
  plan.tunables = tunables;
  plan.policies = policies(spec, arch, tunables);
  add_end(plan);
  plan.policies.push_back(
      select_policy("merge", tunables.merge == Merge::fused ? "fused" : "kernel"));
  plan.policies.push_back(select_policy("history", copies_beside(spec, arch) ? "ready" : "late"));
  plan.constants = constants(spec, arch, tunables, layout);
  plan.skeleton = "kernels/decode.cuh";
  plan.entry = "octavo_decode";
  plan.threads = tunables.warps * 32;
  plan.shared_bytes = layout.shared_bytes();
  return plan;
}

Plan plan_merge(const Plan& decode) {
  constexpr int kThreads = 128;
  Plan plan;
  plan.spec = decode.spec;
  plan.kernel = KernelKind::merge;
  plan.arch = decode.arch;
  plan.tunables = decode.tunables;
  add_end(plan);
  plan.constants = row_constants(plan.spec, plan.tunables.row_tiles, kThreads);
  plan.skeleton = "kernels/merge.cuh";
  plan.entry = "octavo_merge";
  plan.threads = kThreads;
  return plan;
}

Grid grid_decode(const Plan& plan, const LaunchShape& shape) {
  const int splits = plan.kernel == KernelKind::merge ? 1 : shape.splits;
  const int blocks = row_blocks(plan, shape) * plan.spec.attention.kv_heads;
  return {static_cast<unsigned>(splits), static_cast<unsigned>(blocks),
          static_cast<unsigned>(shape.sequences)};
}

// A block for each multiprocessor, but none with fewer tokens than pay for their part of the merge;
// more bytes than 256 of a token count as more tokens. Two splits where one already occupies half
// of the multiprocessors pay later: half of them read nearly as fast as all. More than eight of one
// sequence pay late, as eight may leave room for the next grid's blocks to begin, and later still
// more blocks than multiprocessors, where these hold several. (On an H100, d128: at 8 sequences of
// 1024, 2048, 4096 and 8192 tokens 8.7, 15.3, 27.1 and 51.4 us with one split, 8.5, 14.3, 25.8 and
// 48.6 with two, and with history_ready 7.4, 13.4, 25.1 and 48.6, and 8.3, 13.2, 24.9 and 47.6; at
// one sequence of 1024 tokens 5.9, 4.5 and 4.3 us with two, four and eight; of 4096, 8192 and 16384
// tokens 6.6, 9.2 and 15.5 with eight, 6.5, 8.8 and 14.3 with sixteen, and with history_ready 5.3,
// 8.1 and 14.4, and 6.3, 8.2 and 13.3. d256: at 8 of 1024 15.4 with one and 14.5 with two, at one
// of 4096 10.1 with eight and 9.2 with sixteen. d64: at one of 16384, 32768 and 65536 9.2, 15.8 and
// 31.1 with sixteen, 10.8, 16.6 and 29.4 with thirty-two, and with history_ready 8.2, 14.1
// and 30.9, and 12.0, 16.1 and 26.9.)
int choose_splits(const Plan& decode, const LaunchShape& shape, int multiprocessors) {
  constexpr int kFewestTokens = 128, kFewestTokensOfTwo = 2048;
  constexpr int kFew = 8, kFewestTokensOfMore = 512, kFewestTokensOfMost = 2048;
  const int groups = static_cast<int>(arrival_count(decode, shape));
  if (groups == 0) return 1;
  const std::int64_t tokens =
      tokens_seen(decode.spec, shape) * std::max(token_bytes(decode.spec), 256) / 256;
  const std::int64_t one_each = multiprocessors / groups;
  const std::int64_t few = std::clamp<std::int64_t>(tokens / kFewestTokens, 1, kFew);
  std::int64_t splits =
      std::clamp<std::int64_t>(one_each, 1, std::max(few, tokens / kFewestTokensOfMore));
  if (one_each == 2 && tokens < kFewestTokensOfTwo) splits = 1;

  const int resident = resident_blocks(decode.arch, decode.threads, decode.shared_bytes);
  const std::int64_t all = multiprocessors * resident / groups;
  return static_cast<int>(std::max(splits, std::min(all, tokens / kFewestTokensOfMost)));
}

std::size_t arrival_count(const Plan& decode, const LaunchShape& shape) {
  const Grid one = grid_decode(decode, shape);
  return static_cast<std::size_t>(one.y) * one.z;
}

}  // namespace octavo
