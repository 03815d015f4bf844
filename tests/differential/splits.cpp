// Decode's splits hand each other words of which zero means that they are not there yet: whatever
// they hold, the merge ends and leaves zeros for the next decode.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "support.hpp"
#include "tools/trial.hpp"

using namespace octavo;
using namespace octavo::test;

TEST_CASE("decode leaves its workspace as zeros, and NaN ends no differently") {
  for (const int head_dim : {64, 96}) {
    const Spec spec = spec_of(
        "attention: {query_heads: 6, kv_heads: 2, head_dim: " + std::to_string(head_dim) + "}\n");
    reference::Inputs inputs = reference::draw_inputs(spec, {700, 90}, {2, 1}, 7);
    const std::vector<double> nan(inputs.q.dim, std::numeric_limits<double>::quiet_NaN());
    inputs.q.store_row(0, 0, nan);
    for (const int splits : {2, 8, 19}) {
      CAPTURE(head_dim);
      CAPTURE(splits);
      Trial trial(spec, device(), inputs, splits);
      trial.append();
      trial.decode();
      const std::vector<double> output = trial.output();
      const auto is_nan = [](double value) { return std::isnan(value); };
      CHECK(std::ranges::all_of(output.begin(), output.begin() + head_dim, is_nan));
      CHECK(std::ranges::none_of(output.begin() + head_dim, output.end(), is_nan));
      const std::vector<std::byte> workspace = trial.workspace();
      CHECK(workspace.size() > output.size() * splits * sizeof(float));
      CHECK(std::ranges::count(workspace, std::byte{0}) == std::ssize(workspace));
    }
  }
}
