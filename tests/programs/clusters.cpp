#include <doctest/doctest.h>

#include "program.hpp"

using namespace octavo::test;

TEST_CASE("a histogram over the shared memory of a cluster") {
  const auto values = random_values<int>(5000, 0, 255, 1);
  std::vector<unsigned> expected(256);
  for (const int value : values) ++expected[static_cast<std::size_t>(value)];
  for (const auto& mode : kModes) {
    Program program("clusters", mode);
    each_schedule([&] {
      Array<unsigned> out(std::vector<unsigned>(256, 0));
      program.launch("histogram", {8}, {96}, 0, *Array<int>(values), 5000, *out);
      CHECK(out.values() == expected);
    });
  }
}

TEST_CASE("a sum over the blocks of each cluster") {
  constexpr std::size_t kClusters = 6;
  const auto values = random_values<float>(kClusters * 512, -1, 1, 2);
  std::vector<float> expected(kClusters, 0);
  for (std::size_t block = 0; block < 4 * kClusters; ++block) {
    std::vector<float> part(values.begin() + static_cast<std::ptrdiff_t>(block * 128),
                            values.begin() + static_cast<std::ptrdiff_t>(block * 128 + 128));
    for (std::size_t step = 64; step > 0; step /= 2) {
      for (std::size_t i = 0; i < step; ++i) part[i] += part[i + step];
    }
    expected[block / 4] += part[0];
  }
  Program program("clusters");
  each_schedule([&] {
    Array<float> out(kClusters);
    program.launch("sum", {4 * kClusters}, {128}, 0, *Array<float>(values), *out);
    CHECK(out.values() == expected);
  });
}
