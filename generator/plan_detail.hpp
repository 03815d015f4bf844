// What the plans of several kernels share. Internal to the generator.
#pragma once

#include <vector>

#include "generator/plan.hpp"

namespace octavo {

Plan plan_append(const Spec& spec, const Architecture& arch);
Grid grid_append(const Plan& plan, const LaunchShape& shape);

// kQueryHeads, kKvHeads, kHeadDimQk, kHeadDimV and, paged, kPageSize.
std::vector<Constant> shape_constants(const Spec& spec);

// How the cache is laid out and what it holds: the axes fp8_convert, cache, scale and kv, in the
// order in which the templates need each other. Throws SpecError for a scale that does not exist
// yet.
std::vector<Policy> cache_policies(const Spec& spec, const Architecture& arch);

}  // namespace octavo
