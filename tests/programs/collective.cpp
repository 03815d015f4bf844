#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

#include "program.hpp"

using namespace octavo::test;

TEST_CASE("sums of a grid") {
  const auto ints = random_values<int>(10000, -1000, 1000, 1);
  // Sums of quarters are exact in any order.
  std::vector<double> doubles;
  for (const int value : ints) doubles.push_back(value / 4.0);
  const int count = static_cast<int>(ints.size());
  for (const auto& mode : kModes) {
    Program program("collective", mode);
    each_schedule([&] {
      Array<int> sum(std::vector<int>{0});
      program.launch("sum_int", {7}, {128}, 0, *Array<int>(ints), count, *sum);
      CHECK(sum.values()[0] == std::accumulate(ints.begin(), ints.end(), 0));
      Array<double> total(std::vector<double>{0});
      program.launch("sum_double", {5}, {96}, 0, *Array<double>(doubles), count, *total);
      CHECK(total.values()[0] == std::accumulate(doubles.begin(), doubles.end(), 0.0));
    });
  }
}

TEST_CASE("a scan by shuffles") {
  const auto values = random_values<int>(1000, -99, 99, 2);
  std::vector<int> expected(values.size());
  std::partial_sum(values.begin(), values.end(), expected.begin());
  for (const auto& mode : kModes) {
    Program program("collective", mode);
    each_schedule([&] {
      Array<int> out(values.size());
      program.launch("scan", {}, {1024}, 0, *Array<int>(values), 1000, *out);
      CHECK(out.values() == expected);
    });
  }
}

TEST_CASE("compaction by votes") {
  const auto values = random_values<int>(3000, -50, 50, 3);
  std::vector<int> expected;
  std::copy_if(values.begin(), values.end(), std::back_inserter(expected),
               [](int value) { return value > 0; });
  std::sort(expected.begin(), expected.end());
  Program program("collective");
  each_schedule([&] {
    Array<int> kept(std::vector<int>{0}), out(values.size());
    program.launch("compact", {12}, {256}, 0, *Array<int>(values), 3000, *kept, *out);
    REQUIRE(kept.values()[0] == static_cast<int>(expected.size()));
    std::vector<int> found = out.values();
    found.resize(expected.size());
    std::sort(found.begin(), found.end());
    CHECK(found == expected);
  });
}

TEST_CASE("a histogram by atomics of shared and global memory") {
  const auto drawn = random_values<int>(20000, 0, 255, 4);
  std::vector<unsigned char> values;
  std::vector<unsigned> expected(256);
  for (const int value : drawn) {
    values.push_back(static_cast<unsigned char>(value * value / 255));  // not evenly
    ++expected[values.back()];
  }
  for (const auto& mode : kModes) {
    Program program("collective", mode);
    each_schedule([&] {
      Array<unsigned> bins(std::vector<unsigned>(256, 0));
      program.launch("histogram", {6}, {192}, 0, *Array<unsigned char>(values), 20000, *bins);
      CHECK(bins.values() == expected);
    });
  }
}

TEST_CASE("the greatest value's place by a 64-bit atomic; counts by matching lanes") {
  const auto values = random_values<int>(2500, -1000000, 1000000, 5);
  const auto greatest = std::max_element(values.begin(), values.end());
  auto keys = random_values<int>(2500, 0, 9, 6);
  std::vector<int> expected(10);
  for (const int key : keys) ++expected[static_cast<std::size_t>(key)];
  Program program("collective");
  each_schedule([&] {
    Array<unsigned long long> out(std::vector<unsigned long long>{0});
    program.launch("find_greatest", {20}, {128}, 0, *Array<int>(values), 2500, *out);
    const unsigned long long packed = out.values()[0];
    CHECK(static_cast<int>(static_cast<unsigned>(packed >> 32) ^ 0x80000000u) == *greatest);
    CHECK(~static_cast<unsigned>(packed) == static_cast<unsigned>(greatest - values.begin()));
    Array<int> counts(std::vector<int>(10, 0));
    program.launch("count_keys", {20}, {128}, 0, *Array<int>(keys), 2500, *counts);
    CHECK(counts.values() == expected);
  });
}

TEST_CASE("blocks that wait for one another: the last to arrive, and a lock") {
  const auto values = random_values<int>(4000, -100, 100, 7);
  Program program("collective");
  each_schedule([&] {
    Array<int> partial(16), out(1);
    program.launch("sum_by_last_block", {16}, {256}, 0, *Array<int>(values), 4000, *partial, *out);
    CHECK(out.values()[0] == std::accumulate(values.begin(), values.end(), 0));
    Array<int> lock(std::vector<int>{0}), counter(std::vector<int>{0});
    program.launch("count_under_lock", {50}, {32}, 0, *lock, *counter);
    CHECK(counter.values()[0] == 50);
  });
}
