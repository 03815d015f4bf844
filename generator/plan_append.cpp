#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "generator/plan_detail.hpp"

namespace octavo {
namespace {

constexpr int kWarps = 4;
constexpr int kResidentBlocks = 8;  // on a multiprocessor: 64 registers a thread, 64 KiB in flight
constexpr int kRopeDimsStep = 8;    // a lane rotates eight values or none

// Lanes that hold a row, eight values each: a power of two, so that rows tile a warp.
int row_lanes(int head_dim) { return static_cast<int>(std::bit_ceil(head_dim / 8u)); }

// Rows that a lane has on their way at once: 64 bytes.
int rows_in_flight(const Spec& spec) { return 8 / bytes_of(spec.input); }

unsigned blocks(const Plan& plan, int rows, int head_dim) {
  const int block_rows = plan.threads / row_lanes(head_dim) * rows_in_flight(plan.spec);
  return static_cast<unsigned>((rows + block_rows - 1) / block_rows);
}

void check_rope(const Rope& rope) {
  if (rope.pairing == RopePairing::none || rope.dims % kRopeDimsStep == 0) return;
  throw SpecError(
      {fmt::format("attention.rope.dims: no kernel rotates {} dimensions, use a multiple "
                   "of {}",
                   rope.dims, kRopeDimsStep)});
}

}  // namespace

Plan plan_append(const Spec& spec, const Architecture& arch) {
  const AttentionSpec& attention = spec.attention;
  check_rope(attention.rope);

  Plan plan;
  plan.spec = spec;
  plan.kernel = KernelKind::append;
  plan.arch = arch;
  plan.tunables.warps = kWarps;
  plan.threads = 32 * kWarps;
  plan.entry = "append";
  plan.skeleton = "kernels/append.cuh";

  plan.policies = cache_policies(spec, arch);
  plan.policies.push_back(launch_policy(arch));
  plan.policies.push_back({"input", fmt::format("input/{}.cuh", name_of(spec.input))});
  plan.policies.push_back({"rope", fmt::format("rope/{}.cuh", name_of(attention.rope.pairing))});

  plan.constants = shape_constants(spec);
  const auto add = [&](const char* name, int value) {
    plan.constants.push_back({"int", name, fmt::to_string(value)});
  };
  if (attention.rope.pairing != RopePairing::none) add("kRopeDims", attention.rope.dims);
  add("kThreads", plan.threads);
  add("kResidentBlocks", kResidentBlocks);
  add("kLanesQk", row_lanes(attention.head_dim.qk));
  add("kLanesV", row_lanes(attention.head_dim.v));
  add("kRowsInFlight", rows_in_flight(spec));
  plan.constants.push_back(
      {"bool", "kHistoryReady", spec.kv_cache.history_ready ? "true" : "false"});
  return plan;
}

// Blocks for K's rows, then V's, then Q's where that is rotated.
Grid grid_append(const Plan& plan, const LaunchShape& shape) {
  const AttentionSpec& attention = plan.spec.attention;
  const HeadDim& dim = attention.head_dim;
  unsigned count = blocks(plan, shape.tokens * attention.kv_heads, dim.qk) +
                   blocks(plan, shape.tokens * attention.kv_heads, dim.v);
  if (shape.rotates_queries && attention.rope.pairing != RopePairing::none) {
    count += blocks(plan, shape.tokens * attention.query_heads, dim.qk);
  }
  return {std::max(count, 1u), 1, 1};
}

}  // namespace octavo
