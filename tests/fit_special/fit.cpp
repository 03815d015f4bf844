#include "fit.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <stdexcept>
#include <vector>

namespace octavo::emulator::tensor_core {
namespace {

// As its definition says, bit by bit.
std::int64_t truncated_square(std::int64_t x) {
  std::int64_t sum = 0;
  for (int i = 0; i < 17; ++i)
    for (int j = 0; j <= i; ++j) {
      const int weight = i == j ? 2 * i : i + j + 1;
      if (weight >= 19 && (x >> i & 1) && (x >> j & 1)) sum += std::int64_t{1} << (weight - 19);
    }
  return sum;
}

const std::vector<std::int64_t>& squares() {
  static const std::vector<std::int64_t> table = [] {
    std::vector<std::int64_t> all;
    for (std::int64_t x = 0; x < 1 << 17; ++x) all.push_back(truncated_square(x));
    return all;
  }();
  return table;
}

std::int64_t square_of(const Sample& sample) {
  return squares()[static_cast<std::size_t>(sample.x)];
}

// The real coefficients of x and of its square that are nearest to the samples' middles.
std::array<double, 2> least_squares(std::span<const Sample> samples) {
  double matrix[3][4] = {};
  const std::int64_t origin = samples.front().value;
  for (const Sample& sample : samples) {
    const auto width = static_cast<double>(sample.width);
    const double row[] = {1 / width, static_cast<double>(sample.x) * 0x1p-17 / width,
                          static_cast<double>(square_of(sample)) * 0x1p-15 / width,
                          (static_cast<double>(sample.value - origin) + 0.5 * width) / width};
    for (int r = 0; r < 3; ++r)
      for (int c = 0; c < 4; ++c) matrix[r][c] += row[r] * row[c];
  }
  for (int pivot = 0; pivot < 3; ++pivot)
    for (int r = 0; r < 3; ++r) {
      if (r == pivot) continue;
      const double factor = matrix[r][pivot] / matrix[pivot][pivot];
      for (int c = pivot; c < 4; ++c) matrix[r][c] -= factor * matrix[pivot][c];
    }
  return {matrix[1][3] / matrix[1][1] * 0x1p-17, matrix[2][3] / matrix[2][2] * 0x1p-15};
}

std::optional<Segment> with_c0(const Interpolation& interpolation, std::span<const Sample> samples,
                               std::int64_t c1, std::int64_t c2) {
  std::int64_t low = std::numeric_limits<std::int64_t>::min(), high = -low - 1;
  for (const Sample& sample : samples) {
    const std::int64_t rest =
        c1 * sample.x + (c2 * square_of(sample) << interpolation.c2_shift) + interpolation.bias;
    low = std::max(low, sample.value - rest);
    high = std::min(high, sample.value + sample.width - 1 - rest);
  }
  const std::int64_t c0 = high >> interpolation.c0_shift;
  if (c0 << interpolation.c0_shift < low) return std::nullopt;
  return Segment{static_cast<std::int32_t>(c0), static_cast<std::int32_t>(c1),
                 static_cast<std::int32_t>(c2)};
}

}  // namespace

Segment fit(const Interpolation& interpolation, std::span<const Sample> samples) {
  const auto real = least_squares(samples);
  const auto c1 = std::lround(real[0]);
  const auto c2 = std::lround(std::ldexp(real[1], -interpolation.c2_shift));
  for (const int d2 : {0, 1, -1})
    for (const int d1 : {0, 1, -1}) {
      const auto segment = with_c0(interpolation, samples, c1 + d1, c2 + d2);
      if (segment) return *segment;
    }
  throw std::runtime_error("no coefficients reproduce a segment");
}

}  // namespace octavo::emulator::tensor_core
