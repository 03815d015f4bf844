// Prints runtime/emulator/tensor_core/special_tables.cpp from the recordings:
//
//   octavo_fit_special mufu-h100.tar.gz > special_tables.cpp
//
// c1 and c2 of a segment are where least squares puts them, to the nearest integers of which every
// recorded result is the truncated sum for some c0; of c0 there is then one.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <stdexcept>

#include "../vectors/recordings.hpp"
#include "tensor_core/special_tables.hpp"

namespace octavo::emulator::tensor_core {
namespace {

using Values = std::vector<std::int64_t>;  // of a binade, in units of the last of 24 digits

struct Function {
  std::string table;
  std::vector<std::string> recordings;  // in the order of the table's segments
  Interpolation interpolation;
  int digits;    // a value is that many binary digits after the point
  double added;  // to the recorded result
};

const Function kFunctions[] = {
    {"Ex2", {"ex2_p0"}, kEx2, 23, 0},
    {"Rcp", {"rcp_0"}, kRcp, 24, 0},
    {"Lg2", {"lg2_1"}, kLg2, 23, -1},
    {"Rsqrt", {"rsq_0", "rsq_1"}, kRsqrt, 24, 0},
    {"Sqrt", {"sqrt_0", "sqrt_1"}, kSqrt, 23, 0},
};

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

// The coefficients of 1, x and y (both in [0, 1)) that are nearest to the values.
std::array<double, 3> least_squares(const std::vector<std::array<double, 2>>& points,
                                    const std::int64_t* values) {
  double matrix[3][4] = {};
  for (std::size_t i = 0; i < points.size(); ++i) {
    const double row[] = {1, points[i][0], points[i][1],
                          static_cast<double>(values[i] - values[0]) + 0.5};
    for (int r = 0; r < 3; ++r)
      for (int c = 0; c < 4; ++c) matrix[r][c] += row[r] * row[c];
  }
  for (int pivot = 0; pivot < 3; ++pivot)
    for (int r = 0; r < 3; ++r) {
      if (r == pivot) continue;
      const double factor = matrix[r][pivot] / matrix[pivot][pivot];
      for (int c = pivot; c < 4; ++c) matrix[r][c] -= factor * matrix[pivot][c];
    }
  return {matrix[0][3] / matrix[0][0], matrix[1][3] / matrix[1][1], matrix[2][3] / matrix[2][2]};
}

class Fit {
 public:
  Fit(const Interpolation& interpolation, int digits)
      : interpolation_(interpolation), shift_(interpolation.scale - digits) {
    const int step = 1 << (interpolation.segment_bits - 6);
    for (std::int64_t x = 0; x < 1 << 17; x += step) {
      x_.push_back(x);
      square_.push_back(truncated_square(x));
      points_.push_back(
          {static_cast<double>(x) * 0x1p-17, static_cast<double>(square_.back()) * 0x1p-15});
    }
  }
  std::size_t size() const { return x_.size(); }

  Segment operator()(const std::int64_t* values) const {
    const auto real = least_squares(points_, values);
    const auto c1 = std::lround(std::ldexp(real[1], shift_ - 17));
    const auto c2 = std::lround(std::ldexp(real[2], shift_ - 15 - interpolation_.c2_shift));
    // The ends of the first and last segments, where results are exact or repeat, disturb the fit.
    for (const int d2 : {0, 1, -1})
      for (const int d1 : {0, 1, -1}) {
        const Segment segment = with_c0(values, c1 + d1, c2 + d2);
        if (segment.c0 != 0) return segment;
      }
    throw std::runtime_error("no coefficients reproduce a segment");
  }

 private:
  // c0 is 0 where there is none.
  Segment with_c0(const std::int64_t* values, std::int64_t c1, std::int64_t c2) const {
    // A first value that is exact by itself, rsqrt's of 1, is not the table's.
    std::int64_t low = std::numeric_limits<std::int64_t>::min(), high = -low - 1;
    for (std::size_t i = 1; i < size(); ++i) {
      const std::int64_t rest =
          c1 * x_[i] + (c2 * square_[i] << interpolation_.c2_shift) + interpolation_.bias;
      low = std::max(low, (values[i] << shift_) - rest);
      high = std::min(high, ((values[i] + 1) << shift_) - 1 - rest);
    }
    const std::int64_t c0 = high >> interpolation_.c0_shift;
    if ((c0 << interpolation_.c0_shift) < low) return {0, 0, 0};
    return {static_cast<std::int32_t>(c0), static_cast<std::int32_t>(c1),
            static_cast<std::int32_t>(c2)};
  }

  Interpolation interpolation_;
  int shift_;
  std::vector<std::int64_t> x_, square_;
  std::vector<std::array<double, 2>> points_;
};

Values values_of(const Recording& recording, const Function& function) {
  Values values;
  for (std::size_t i = 0; i < recording.differences.size(); ++i) {
    const auto x = recording.first + static_cast<std::uint32_t>(i);
    const auto bits = correctly_rounded(recording.function, x) +
                      static_cast<std::uint32_t>(recording.differences[i]);
    // 2^x for x in [1, 2) has the mantissas of x - 1.
    const double y = static_cast<double>(std::bit_cast<float>(bits)) + function.added;
    const int digits = function.digits - (recording.function == "ex2" ? 1 : 0);
    values.push_back(static_cast<std::int64_t>(std::ldexp(y, digits)));
  }
  return values;
}

void print_tables(const char* archive) {
  std::map<std::string, Values> values;
  for_each_recording(archive, [&](const Recording& recording) {
    for (const Function& function : kFunctions)
      if (std::ranges::count(function.recordings, recording.name) != 0)
        values[recording.name] = values_of(recording, function);
  });
  fmt::print(R"(// Printed by octavo_fit_special from the recordings of an H100.
#include "tensor_core/special_tables.hpp"

namespace octavo::emulator::tensor_core {{

// clang-format off
)");
  for (const Function& function : kFunctions) {
    const Fit fit(function.interpolation, function.digits);
    std::vector<Segment> segments;
    for (const std::string& recording : function.recordings) {
      const Values& all = values.at(recording);
      for (std::size_t i = 0; i < all.size(); i += fit.size()) segments.push_back(fit(&all[i]));
    }
    fmt::print("const Segment k{}Segments[{}] = {{\n", function.table, segments.size());
    for (std::size_t i = 0; i < segments.size(); ++i)
      fmt::print("{}{{{}, {}, {}}}{}", i % 4 == 0 ? "    " : " ", segments[i].c0, segments[i].c1,
                 segments[i].c2, i % 4 == 3 ? ",\n" : ",");
    fmt::print("}};\n\n");
  }
  fmt::print("// clang-format on\n\n}}  // namespace octavo::emulator::tensor_core\n");
}

}  // namespace
}  // namespace octavo::emulator::tensor_core

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: octavo_fit_special mufu-h100.tar.gz > special_tables.cpp\n");
    return 2;
  }
  try {
    octavo::emulator::tensor_core::print_tables(argv[1]);
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "octavo_fit_special: {}\n", error.what());
    return 3;
  }
}
