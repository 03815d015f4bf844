#include "generator/plan.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "generator/plan_detail.hpp"

namespace octavo {

Plan plan(const Spec& spec, KernelKind kernel, const Architecture& arch) {
  switch (kernel) {
    case KernelKind::append:
      return plan_append(spec, arch);
    case KernelKind::decode:
    case KernelKind::merge:
      return plan(spec, kernel, arch, default_tunables(spec, arch));
    case KernelKind::prefill:
      return plan(spec, kernel, arch, default_prefill_tunables(spec, arch));
  }
  throw SpecError({"kernels: unknown kernel"});
}

Plan plan(const Spec& spec, KernelKind kernel, const Architecture& arch, const Tunables& tunables) {
  switch (kernel) {
    case KernelKind::decode:
      return plan_decode(spec, arch, tunables);
    case KernelKind::merge:
      return plan_merge(plan_decode(spec, arch, tunables));
    case KernelKind::prefill:
      return plan_prefill(spec, arch, tunables);
    case KernelKind::append:
      return plan(spec, kernel, arch);  // nothing to vary
  }
  throw SpecError({"kernels: unknown kernel"});
}

std::vector<Plan> plans(const Spec& spec, const Architecture& arch) {
  std::vector<Plan> result;
  for (const KernelKind kernel : spec.kernels) {
    result.push_back(plan(spec, kernel, arch));
    if (kernel == KernelKind::decode && result.back().tunables.merge == Merge::kernel) {
      result.push_back(plan_merge(result.back()));
    }
  }
  return result;
}

Grid grid(const Plan& plan, const LaunchShape& shape) {
  switch (plan.kernel) {
    case KernelKind::append:
      return grid_append(plan, shape);
    case KernelKind::prefill:
      return grid_prefill(plan, shape);
    default:
      return grid_decode(plan, shape);
  }
}

}  // namespace octavo
