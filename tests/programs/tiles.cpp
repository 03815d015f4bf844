#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "program.hpp"

using namespace octavo::test;

TEST_CASE("a transpose through shared memory") {
  constexpr unsigned kRows = 70, kColumns = 100;
  const auto in = random_values<float>(kRows * kColumns, -1, 1, 1);
  std::vector<float> expected(in.size());
  for (unsigned r = 0; r < kRows; ++r) {
    for (unsigned c = 0; c < kColumns; ++c) expected[c * kRows + r] = in[r * kColumns + c];
  }
  Program program("tiles");
  each_schedule([&] {
    Array<float> out(in.size());
    program.launch("transpose", {4, 3}, {32, 8}, 0, *Array<float>(in), *out, 70, 100);
    CHECK(out.values() == expected);
  });
}

namespace {

template <typename T>
void check_gemm(Program& program, const char* kernel) {
  constexpr std::size_t kN = 90;
  const auto a = random_values<T>(kN * kN, -1, 1, 2), b = random_values<T>(kN * kN, -1, 1, 3),
             c = random_values<T>(kN * kN, -1, 1, 4);
  const T alpha = T(1.5), beta = T(-0.75);
  Array<T> result(c);
  program.launch(kernel, {2, 2}, {256}, 0, *Array<T>(a), *Array<T>(b), *result,
                 static_cast<int>(kN), alpha, beta);
  const auto found = result.values();
  for (std::size_t i = 0; i < c.size(); ++i) {
    long double sum = 0, magnitude = 1;
    for (std::size_t k = 0; k < kN; ++k) {
      const long double product = static_cast<long double>(a[i / kN * kN + k]) * b[k * kN + i % kN];
      sum += product;
      magnitude += std::abs(product);
    }
    // Two roundings a term at most, to half a unit each.
    const long double bound =
        (2 * kN + 3) * std::numeric_limits<T>::epsilon() / 2 * alpha * magnitude;
    const long double difference = found[i] - (alpha * sum + beta * c[i]);
    CHECK_MESSAGE(std::abs(difference) <= bound, i, ": ", found[i], ", off by ", difference);
  }
}

}  // namespace

TEST_CASE("matrix products, float and double") {
  for (const auto& mode : kModes) {
    Program program("tiles", mode);
    check_gemm<float>(program, "gemm_float");
    check_gemm<double>(program, "gemm_double");
  }
}

TEST_CASE("a stencil with constants and a halo") {
  const auto in = random_values<float>(1000, -1, 1, 5);
  const float weights[] = {0.0625F, 0.25F, 0.375F, 0.25F, 0.0625F};
  std::vector<float> expected;
  for (int i = 0; i < 1000; ++i) {
    float sum = 0;
    for (int j = 0; j < 5; ++j) {
      sum = std::fma(weights[j], in[static_cast<std::size_t>(std::clamp(i + j - 2, 0, 999))], sum);
    }
    expected.push_back(sum);
  }
  Program program("tiles");
  each_schedule([&] {
    Array<float> out(1000);
    program.launch("stencil", {8}, {128}, 132 * 4, *Array<float>(in), *out, 1000);
    CHECK(out.values() == expected);
  });
}

TEST_CASE("a bitonic sort") {
  const auto in = random_values<unsigned>(1024, 0, 5000, 6);
  auto expected = in;
  std::sort(expected.begin(), expected.end());
  for (const auto& mode : kModes) {
    Program program("tiles", mode);
    Array<unsigned> data(in);
    program.launch("sort", {}, {160}, 4096, *data, 1024);
    CHECK(data.values() == expected);
  }
}

TEST_CASE("a matrix's inverse") {
  constexpr std::size_t kN = 40;
  const auto a = random_values<double>(kN * kN, -1, 1, 7);
  Program program("tiles");
  each_schedule([&] {
    Array<double> work(a), result(kN * kN);
    program.launch("invert", {}, {2 * kN}, 0, *work, *result, static_cast<int>(kN));
    const auto inverse = result.values();
    for (std::size_t i = 0; i < kN; ++i) {
      for (std::size_t j = 0; j < kN; ++j) {
        double sum = 0;
        for (std::size_t k = 0; k < kN; ++k) sum += a[i * kN + k] * inverse[k * kN + j];
        CHECK_MESSAGE(std::abs(sum - (i == j ? 1 : 0)) <= 1e-10, i, ",", j, ": ", sum);
      }
    }
  });
}

TEST_CASE("softmax of rows") {
  constexpr std::size_t kRows = 10, kColumns = 200;
  const auto in = random_values<float>(kRows * kColumns, -20, 20, 8);
  for (const auto& mode : kModes) {
    Program program("tiles", mode);
    Array<float> out(in.size());
    program.launch("softmax", {3}, {32, 4}, 0, *Array<float>(in), *out, 10, 200);
    const auto found = out.values();
    for (std::size_t r = 0; r < kRows; ++r) {
      double sum = 0;
      for (std::size_t c = 0; c < kColumns; ++c) sum += std::exp(double{in[r * kColumns + c]});
      for (std::size_t c = 0; c < kColumns; ++c) {
        const double expected = std::exp(double{in[r * kColumns + c]}) / sum;
        const double difference = std::abs(double{found[r * kColumns + c]} - expected);
        CHECK_MESSAGE(difference <= 5e-6 * expected, r, ",", c, ": ", difference);
      }
    }
  }
}
