// With V all ones the output is one: the weights sum to one within fp32's rounding, whatever the
// splits, the mask and the order of the sums.
#include <doctest/doctest.h>

#include <algorithm>

#include "support.hpp"
#include "tools/trial.hpp"

using namespace octavo;
using namespace octavo::test;

TEST_CASE("with V all ones the output is one") {
  for (const char* extra : {"", "compute: {matmul: bf16}\n", "kv_cache: {scale: head}\n",
                            "kv_cache: {format: bf16}\ncompute: {matmul: bf16}\n"}) {
    const Spec spec = spec_of(
        "attention: {query_heads: 8, kv_heads: 2, head_dim: 64, mask: {sliding_window: 500}}\n"
        "output: fp16\n" +
        std::string(extra));
    reference::Inputs inputs = reference::draw_inputs(spec, {700, 1, 130}, {3, 1, 3}, 5);
    const std::vector<double> ones(inputs.v.dim, 1.0);
    for (std::size_t token = 0; token < inputs.v.tokens; ++token) {
      for (std::size_t head = 0; head < inputs.v.heads; ++head)
        inputs.v.store_row(token, head, ones);
    }
    for (const int splits : {1, 5}) {
      CAPTURE(std::string(extra));
      CAPTURE(splits);
      Trial trial(spec, device(), inputs, splits);
      trial.append();
      trial.decode();
      const std::vector<double> output = trial.output();
      CHECK(output.size() == std::size_t{7} * 8 * 64);
      CHECK(std::ranges::count(output, 1.0) == static_cast<std::ptrdiff_t>(output.size()));
    }
  }
}
