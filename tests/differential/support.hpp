// One case: a spec and a batch on a device, held against float64.
#pragma once

#include <string>
#include <vector>

#include "../device.hpp"
#include "generator/spec.hpp"

namespace octavo::test {

struct Shape {
  std::vector<int> lengths;  // tokens of each sequence's cache, the query tokens included
  int queries = 1;
  int splits = 0;         // 0: as the plan chooses
  int short_blocks = -1;  // prefill, as Attention::PrefillSize has them
  int short_rows = 0;
};

// Whether there is a prefill kernel for the device; if not, says so.
bool has_prefill();

// The spec of the lines after `octavo: 1`.
Spec spec_of(const std::string& yaml);

// Appends random inputs of this seed, attends by the spec's other kernel and requires every bound
// to hold.
void check_case(const Spec& spec, const Shape& shape, std::uint64_t seed);

}  // namespace octavo::test
