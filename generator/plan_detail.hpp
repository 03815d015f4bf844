// What the plans of several kernels share. Internal to the generator.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "generator/plan.hpp"

namespace octavo {

Plan plan_append(const Spec& spec, const Architecture& arch);
Grid grid_append(const Plan& plan, const LaunchShape& shape);

Plan plan_decode(const Spec& spec, const Architecture& arch, const Tunables& tunables);
Plan plan_merge(const Plan& decode);
Tunables default_tunables(const Spec& spec, const Architecture& arch);
Grid grid_decode(const Plan& plan, const LaunchShape& shape);

Plan plan_prefill(const Spec& spec, const Architecture& arch, const Tunables& tunables);
Tunables default_prefill_tunables(const Spec& spec, const Architecture& arch);
Grid grid_prefill(const Plan& plan, const LaunchShape& shape);

// kQueryHeads, kKvHeads, kHeadDimQk, kHeadDimV and, paged, kPageSize.
std::vector<Constant> shape_constants(const Spec& spec);

// Those and kGroup, kRowTiles and kThreads.
std::vector<Constant> row_constants(const Spec& spec, int row_tiles, int threads);

// Those, the mask's and the logits'.
std::vector<Constant> attention_constants(const Spec& spec, int row_tiles, int threads);

// How grids follow each other: the axis launch.
Policy launch_policy(const Architecture& arch);

// fp8 conversions: by instructions or in integer code.
Policy fp8_convert_policy(const Architecture& arch);

// How the cache is laid out and what it holds: the axes fp8_convert, cache, scale and kv, in the
// order in which the templates need each other. Throws SpecError for a scale that does not exist
// yet.
std::vector<Policy> cache_policies(const Spec& spec, const Architecture& arch);

// How a row of queries ends: the axes output and sinks.
void add_end(Plan& plan);

// A value of an axis and the template file that it selects. To add a value: add a file and a row.
struct PolicyFile {
  std::string_view axis;
  std::string_view value;
  std::string_view file;
};

// The axes that attention has besides the cache's.
std::span<const PolicyFile> policy_files();

// The row of the table, or nullptr.
const PolicyFile* find_policy(std::string_view axis, std::string_view value);

// Throws SpecError where there is none.
Policy select_policy(std::string_view axis, std::string_view value);

}  // namespace octavo
