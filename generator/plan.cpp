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
      break;
  }
  throw SpecError({"kernels: there is no prefill kernel yet, use append and decode"});
}

Plan plan(const Spec& spec, KernelKind kernel, const Architecture& arch, const Tunables& tunables) {
  switch (kernel) {
    case KernelKind::decode:
      return plan_decode(spec, arch, tunables);
    case KernelKind::merge:
      return plan_merge(plan_decode(spec, arch, tunables));
    case KernelKind::append:
    case KernelKind::prefill:
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
  return plan.kernel == KernelKind::append ? grid_append(plan, shape) : grid_decode(plan, shape);
}

}  // namespace octavo
