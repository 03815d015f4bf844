#include "tools/reference/data.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "tools/reference/cache.hpp"
#include "tools/reference/error.hpp"

using namespace octavo;
using namespace octavo::reference;

namespace {

Spec small_spec() {
  Spec spec;
  spec.attention.query_heads = 8;
  spec.attention.kv_heads = 2;
  spec.attention.head_dim = {128, 64};
  spec.attention.softmax_scale = 1 / std::sqrt(128.0);
  return spec;
}

std::vector<double> row_of(const RowReader& rows, int sequence, int token, int head, int dim) {
  std::vector<double> row(dim);
  rows(sequence, token, head, row);
  return row;
}

}  // namespace

TEST_CASE("inputs depend on the seed and the place alone") {
  const Inputs a = draw_inputs(small_spec(), {300, 40}, {2, 1}, 7);
  const Inputs b = draw_inputs(small_spec(), {500, 40}, {2, 1}, 7);
  const Inputs c = draw_inputs(small_spec(), {300, 40}, {2, 1}, 8);
  CHECK(row_of(a.operands().k, 0, 299, 1, 128) == row_of(b.operands().k, 0, 299, 1, 128));
  CHECK(row_of(a.operands().v, 1, 39, 0, 64) == row_of(b.operands().v, 1, 39, 0, 64));
  CHECK(a.q.data == b.q.data);
  CHECK(a.k.data != c.k.data);
}

TEST_CASE("context rows come before query rows") {
  const Inputs inputs = draw_inputs(small_spec(), {5, 0, 3}, {2, 0, 1}, 1);
  REQUIRE(inputs.context_tokens() == 5);
  REQUIRE(inputs.queries() == 3);
  const Operands operands = inputs.operands();
  const auto row_in_tensor = [&](std::size_t row) {
    std::vector<double> values(128);
    inputs.k.load_row(row, 1, values);
    return values;
  };
  CHECK(row_of(operands.k, 0, 2, 1, 128) == row_in_tensor(2));
  CHECK(row_of(operands.k, 2, 0, 1, 128) == row_in_tensor(3));
  CHECK(row_of(operands.k, 0, 3, 1, 128) == row_in_tensor(5));
  CHECK(row_of(operands.k, 2, 2, 1, 128) == row_in_tensor(7));
}

TEST_CASE("inputs look like a language model's") {
  const int tokens = 2000;
  const Inputs inputs = draw_inputs(small_spec(), {tokens}, {1}, 3);
  const Operands operands = inputs.operands();
  std::vector<double> k_mean(128), v_mean(64);
  for (int t = 1; t < tokens; ++t) {
    const auto k = row_of(operands.k, 0, t, 0, 128), v = row_of(operands.v, 0, t, 0, 64);
    for (int c = 0; c < 128; ++c) k_mean[c] += k[c] / tokens;
    for (int c = 0; c < 64; ++c) v_mean[c] += v[c] / tokens;
  }
  const auto magnitude = [](double a, double b) { return std::abs(a) < std::abs(b); };
  CHECK(std::abs(*std::max_element(k_mean.begin(), k_mean.end(), magnitude)) > 3);
  CHECK(std::sqrt(std::inner_product(v_mean.begin(), v_mean.end(), v_mean.begin(), 0.0) / 64) >
        0.5);

  // The sink has far more than one token's share of the weight and far less than all.
  const auto weight_of_first = [&](int head) {
    Operands first = operands;
    first.v = [](int, int token, int, std::span<double> row) {
      std::fill(row.begin(), row.end(), token == 0 ? 1.0 : 0.0);
    };
    return attention(small_spec().attention, first).output[static_cast<std::size_t>(head) * 64];
  };
  CHECK(weight_of_first(0) > 20.0 / tokens);
  CHECK(weight_of_first(0) < 0.9);
}

TEST_CASE("a cache image places every token of every layout once") {
  Spec spec = small_spec();
  spec.kv_cache.page_size = 8;
  for (const Layout layout : {Layout::paged, Layout::contiguous}) {
    spec.kv_cache.layout = layout;
    CacheImage cache(spec, {19, 0, 8}, 5);
    // Number the rows through their scales and read them back.
    std::iota(cache.k_scale.begin(), cache.k_scale.end(), 1.0f);
    std::fill(cache.k.begin(), cache.k.end(), std::byte{0x38});  // 1.0
    std::set<double> seen;
    for (const auto& [sequence, length] : {std::pair{0, 19}, {2, 8}}) {
      for (int t = 0; t < length; ++t) {
        for (int head = 0; head < 2; ++head) {
          seen.insert(row_of(cache.k_rows(), sequence, t, head, 128)[0]);
        }
      }
    }
    CHECK(seen.size() == (19 + 8) * 2);
  }
}

TEST_CASE("static scales make the largest value the format's largest") {
  Spec spec = small_spec();
  const Inputs inputs = draw_inputs(spec, {50}, {1}, 1);
  spec.kv_cache.scale.granularity = ScaleGranularity::head;
  const StaticScales heads = static_scales(spec, inputs.operands());
  spec.kv_cache.scale.granularity = ScaleGranularity::tensor;
  const StaticScales tensor = static_scales(spec, inputs.operands());
  REQUIRE(heads.k.size() == 2);
  REQUIRE(tensor.k.size() == 1);
  CHECK(tensor.k[0] == std::max(heads.k[0], heads.k[1]));
  double most = 0;
  for (int t = 0; t < 50; ++t) {
    for (const double value : row_of(inputs.operands().k, 0, t, 1, 128)) {
      most = std::max(most, std::abs(value));
    }
  }
  CHECK(heads.k[1] == doctest::Approx(most / 448));
}

TEST_CASE("differences are relative, and nothing hides in them") {
  const std::vector<double> want{3, 4}, got{3, 4.5}, bad{3, NAN}, zero{0, 0};
  CHECK(compare(got, want).relative_l2 == doctest::Approx(0.1));
  CHECK(compare(got, want).max_abs == 0.5);
  CHECK(std::isnan(compare(bad, want).relative_l2));
  CHECK(std::isnan(compare(bad, want).max_abs));
  CHECK(compare(zero, zero).relative_l2 == 0);
  CHECK(std::isinf(compare(got, zero).relative_l2));
}
