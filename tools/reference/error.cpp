#include "tools/reference/error.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "tools/reference/formats.hpp"
#include "tools/reference/parallel.hpp"

namespace octavo::reference {
namespace {

struct Sums {
  double difference = 0, want = 0, max_abs = 0;

  void add(double got_value, double want_value) {
    const double error = got_value - want_value;
    difference += error * error;
    want += want_value * want_value;
    if (!(std::abs(error) <= max_abs)) max_abs = std::abs(error);  // lets a NaN in, for good
  }
  void add(const Sums& other) {
    difference += other.difference;
    want += other.want;
    if (!(other.max_abs <= max_abs)) max_abs = other.max_abs;
  }
  Difference result() const {
    if (difference == 0) return {0, max_abs};
    const double infinity = std::numeric_limits<double>::infinity();
    return {want == 0 ? infinity : std::sqrt(difference / want), max_abs};
  }
};

}  // namespace

Difference compare(std::span<const double> got, std::span<const double> want) {
  Sums sums;
  for (std::size_t i = 0; i < want.size(); ++i) sums.add(got[i], want[i]);
  return sums.result();
}

Difference compare(const RowReader& got, const RowReader& want, const std::vector<int>& kv_length,
                   int heads, int dim) {
  std::vector<Sums> parts(kv_length.size() * heads);
  parallel_for(parts.size(), [&](std::size_t i) {
    const int sequence = static_cast<int>(i) / heads, head = static_cast<int>(i) % heads;
    std::vector<double> got_row(dim), want_row(dim);
    for (int t = 0; t < kv_length[sequence]; ++t) {
      got(sequence, t, head, got_row);
      want(sequence, t, head, want_row);
      for (int c = 0; c < dim; ++c) parts[i].add(got_row[c], want_row[c]);
    }
  });
  Sums sums;
  for (const Sums& part : parts) sums.add(part);
  return sums.result();
}

// The reference has the same cache and the same queries, so what is left is rounding.
//
// A value that is rounded once is off by at most u of itself, u = rounding_error(format): 2^-8 for
// bf16, 2^-11 for fp16, 2^-4 for e4m3. Over many values whose mantissas m are spread evenly over
// [1, 2) and whose errors are spread evenly over half a unit, the relative error is u * sqrt(1/3 *
// integral of m^-2) = 0.41 u in root mean square: 1.6e-3, 2.0e-4 and 2.6e-2.
//
// 16-bit matmul. Products are exact in fp32 and sums are off by 2^-24 each: nothing here. P is
// rounded to 16 bits; errors of the weights are independent, so over n tokens that share the weight
// they average to 1 / sqrt(n) of the above. The output is rounded once more, and independent errors
// add in squares: with P in fp16 1.6e-3 for a bf16 output and at most 2.9e-4 for an fp16 one; with
// P in bf16 and four tokens or more 1.8e-3. The bounds are the next round numbers, 2e-3 where bf16
// is the coarsest format and 5e-4 where fp16 is.
//
// fp8 matmul. P is rounded to e4m3: 2.6e-2. Q is too: a logit, a sum of q_c k_c, is off by 2.6e-2
// of the root of the sum of the squares of its terms, which for normalised logits is about 1, and
// so the weight is off by 2.6e-2 of itself. An error of Q that is common to all tokens, such as
// that from an outlier channel of K, cancels in the softmax. Together sqrt(2) * 2.6e-2 = 3.7e-2
// where one token has all of the weight's error, and more tokens average: 4e-2.
//
// An e4m3 output is off by 2^-4 of itself at most, which is the bound: it leaves room for what came
// before it, but for an fp8 matmul's error, which is added.
double output_bound(const Spec& spec) {
  if (spec.compute.matmul == Matmul::fp8) {
    return 4e-2 + (spec.output == DataType::e4m3 ? rounding_error(DataType::e4m3) : 0);
  }
  if (spec.output == DataType::e4m3) return rounding_error(DataType::e4m3);
  const bool fp16 = spec.output == DataType::fp16 && spec.compute.matmul == Matmul::fp16;
  return fp16 ? 5e-4 : 2e-3;
}

// What the softmax divides by is a sum of weights, each rounded to what the tensor cores multiply:
// off by u of itself at most, and its logarithm by -ln(1 - u), no more than 1.04 u for e4m3's u.
// The logits are sums of exact products; a hundredth of that is left for how they are summed.
double lse_bound(const Spec& spec) {
  return 1.05 * rounding_error(multiplied_type(spec.compute.matmul));
}

// Each element is rounded once, by at most rounding_error(format) of itself. What is added for the
// fp32 arithmetic before it (RoPE, the division by the scale) and for e4m3's subnormals (2^-10 of
// the scale, where the row's largest value is at least 224) is less than a hundredth of it.
double cache_bound(const Spec& spec) { return 1.01 * rounding_error(spec.kv_cache.format); }

}  // namespace octavo::reference
