// The tensor maps that prefill's kernel copies by. Private to the runtime.
#pragma once

#include "generator/plan.hpp"
#include "runtime/driver.hpp"
#include "templates/arguments.cuh"

namespace octavo {

// The arguments with maps of their cache, as templates/arguments.cuh says; zeros where the plan has
// no boxes. Throws EnvironmentError where the driver refuses.
PrefillKernelArguments with_maps(const Driver& driver, const Plan& plan,
                                 const PrefillArguments& arguments);

}  // namespace octavo
