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

// kQueryHeads, kKvHeads, kHeadDimQk, kHeadDimV and, paged, kPageSize.
std::vector<Constant> shape_constants(const Spec& spec);

// How grids follow each other: the axis launch.
Policy launch_policy(const Architecture& arch);

// fp8 conversions: by instructions or in integer code.
Policy fp8_convert_policy(const Architecture& arch);

// How the cache is laid out and what it holds: the axes fp8_convert, cache, scale and kv, in the
// order in which the templates need each other. Throws SpecError for a scale that does not exist
// yet.
std::vector<Policy> cache_policies(const Spec& spec, const Architecture& arch);

// A value of an axis and the template file that it selects. To add a value: add a file and a row.
struct PolicyFile {
  std::string_view axis;
  std::string_view value;
  std::string_view file;
};

// The axes that decode has besides the cache's.
std::span<const PolicyFile> decode_policy_files();

}  // namespace octavo
