#include <doctest/doctest.h>

#include "generator/architecture.hpp"

namespace octavo {
namespace {

std::string_view chosen(int compute_capability) {
  const Architecture* arch = architecture_for_device(compute_capability);
  return arch ? arch->name : "none";
}

}  // namespace

TEST_CASE("architectures by name") {
  for (const Architecture& arch : architectures()) CHECK(find_architecture(arch.name) == &arch);
  CHECK(architectures().size() == 5);
  CHECK(find_architecture("sm_90") == nullptr);
  CHECK(find_architecture("") == nullptr);
  CHECK(find_architecture("sm_90a")->shared_bytes_per_block == 232448);
  CHECK(find_architecture("sm_80")->shared_bytes_per_block == 101376);  // what 8.6 has
  CHECK(find_architecture("sm_120a")->shared_bytes_per_block == 101376);
  CHECK_FALSE(find_architecture("sm_80")->fp8_convert);
  CHECK_FALSE(find_architecture("sm_80")->fp8_mma);
  CHECK(find_architecture("sm_89")->fp8_mma);
}

TEST_CASE("a device gets its own code, or the newest that runs there") {
  CHECK(chosen(75) == "none");
  CHECK(chosen(80) == "sm_80");
  CHECK(chosen(86) == "sm_80");
  CHECK(chosen(89) == "sm_89");
  CHECK(chosen(90) == "sm_90a");
  CHECK(chosen(100) == "sm_100a");
  CHECK(chosen(103) == "sm_89");  // sm_100a's code runs on 10.0 alone
  CHECK(chosen(120) == "sm_120a");
  CHECK(chosen(121) == "sm_89");
}

}  // namespace octavo
