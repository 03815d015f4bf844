// No kernel of a shipped spec keeps registers in memory, on any architecture.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "generator/plan.hpp"
#include "generator/source.hpp"
#include "runtime/compiler.hpp"
#include "tools/reference/parallel.hpp"

using namespace octavo;

TEST_CASE("no kernel of a shipped spec spills") {
  std::vector<Plan> all;
  for (const auto& file : std::filesystem::directory_iterator(OCTAVO_SOURCE_DIR "/specs")) {
    if (file.path().extension() != ".yaml") continue;
    for (const Spec& spec : read_specs(file.path())) {
      for (const Architecture& arch : architectures()) {
        std::ranges::move(plans(spec, arch), std::back_inserter(all));
      }
    }
  }
  REQUIRE(all.size() >= 10 * 5 * 2);

  std::vector<Resources> resources(all.size());
  reference::parallel_for(all.size(), [&](std::size_t i) {
    resources[i] = compile_cached(emit(all[i]), all[i].arch.name).binary.resources;
  });
  for (std::size_t i = 0; i < all.size(); ++i) {
    CAPTURE(all[i].spec.name);
    CAPTURE(std::string(all[i].arch.name));
    CAPTURE(std::string(name_of(all[i].kernel)));
    CHECK(resources[i].registers > 0);
    CHECK(resources[i].spill_bytes == 0);
    CHECK(resources[i].stack_bytes == 0);
  }
}
