// Any bytes are specs or faults: specs that their canonical form gives again, or lines of plain
// text.
#include "generator/spec.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void check(const octavo::SpecError& error) {
  require(!error.lines().empty());
  for (const std::string& line : error.lines()) {
    require(line.starts_with("fuzz.yaml:"));
    require(std::ranges::all_of(line, [](char c) { return c >= ' ' && c <= '~'; }));
  }
}

void check(const octavo::Spec& spec) {
  require(octavo::parse_specs(canonical_yaml(spec), "again.yaml") == std::vector{spec});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    for (const octavo::Spec& spec : octavo::parse_specs(
             std::string_view(reinterpret_cast<const char*>(data), size), "fuzz.yaml")) {
      check(spec);
    }
  } catch (const octavo::SpecError& error) {
    check(error);
  }
  return 0;
}
