#include "support.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "tools/trial.hpp"

namespace octavo::test {

Spec spec_of(const std::string& yaml) { return parse_specs("octavo: 1\n" + yaml, "case").front(); }

bool has_prefill() {
  const Architecture& arch = device().architecture();
  if (!arch.wgmma) MESSAGE("not run: ", std::string(arch.name), " has no wgmma");
  return arch.wgmma;
}

void check_case(const Spec& spec, const Shape& shape, std::uint64_t seed) {
  std::vector<int> query_tokens;
  for (const int length : shape.lengths) query_tokens.push_back(std::min(length, shape.queries));
  const reference::Inputs inputs = reference::draw_inputs(spec, shape.lengths, query_tokens, seed);
  Trial trial(spec, device(), inputs, shape.splits);
  for (const KernelReport& kernel : trial.report()) CHECK(kernel.resources.spill_bytes == 0);
  trial.append();
  if (std::ranges::find(spec.kernels, KernelKind::decode) != spec.kernels.end()) {
    trial.decode();
  } else {
    trial.prefill(shape.short_blocks, shape.short_rows);
  }
  const Verdict verdict = trial.check();
  INFO("relative L2 ", verdict.difference.relative_l2, ", bound ", verdict.bound);
  for (const std::string& failure : verdict.failures) FAIL_CHECK(failure);
  CHECK(verdict.failures.empty());
}

}  // namespace octavo::test
