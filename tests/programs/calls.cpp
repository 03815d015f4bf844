#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <numeric>

#include "program.hpp"

using namespace octavo::test;

namespace {

struct Particle {
  int id;
  float mass;
  double position[3];
  char tag[8];
};

Particle moved(Particle particle, double step) {
  particle.id += 1000;
  particle.mass *= 0.5F;
  for (int i = 0; i < 3; ++i) particle.position[i] += step * (i + 1);
  particle.tag[particle.id % 4] = 'x';
  return particle;
}

int fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }

int ackermann(int m, int n) {
  if (m == 0) return n + 1;
  return n == 0 ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1));
}

int permutations(int n) {
  std::vector<int> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  int found = 0;
  do {
    const auto code = std::accumulate(order.begin(), order.end(), 0LL,
                                      [](long long a, int digit) { return a * 10 + digit; });
    found += code % 7 == 0;
  } while (std::next_permutation(order.begin(), order.end()));
  return found;
}

}  // namespace

TEST_CASE("structs by value to and from a function") {
  const Particle common{7, 8, {0.25, -1, 3}, "abcdefg"};
  for (const auto& mode : kModes) {
    Program program("calls", mode);
    Array<Particle> out(64);
    program.launch("move_particles", {}, {64}, 0, *out, common);
    const auto particles = out.values();
    for (int t = 0; t < 64; ++t) {
      Particle expected = moved(common, t);
      if (t % 3 == 0) expected = moved(expected, 0.5);
      const Particle& found = particles[static_cast<std::size_t>(t)];
      CHECK(found.id == expected.id);
      CHECK(found.mass == expected.mass);
      CHECK(std::equal(found.position, found.position + 3, expected.position));
      CHECK(std::memcmp(found.tag, expected.tag, sizeof expected.tag) == 0);
    }
  }
}

TEST_CASE("recursion, each lane as deep as it needs") {
  for (const auto& mode : kModes) {
    Program program("calls", mode);
    each_schedule([&] {
      Array<int> out(4 * 64);
      program.launch("recurse", {}, {64}, 0, *out);
      const auto found = out.values();
      for (int t = 0; t < 64; ++t) {
        const std::size_t at = 4 * static_cast<std::size_t>(t);
        CHECK(found[at] == fibonacci(t % 13));
        CHECK(found[at + 1] == ackermann(t % 3, t % 5));
        CHECK(found[at + 2] == (t % 2 == 0));
        CHECK(found[at + 3] == permutations(1 + t % 5));
      }
    });
  }
}

TEST_CASE("calls through pointers") {
  const auto in = random_values<float>(96, -10, 10, 1);
  for (const auto& mode : kModes) {
    Program program("calls", mode);
    for (const int shift : {0, 1}) {
      Array<float> out(96);
      program.launch("through_pointers", {}, {96}, 0, *Array<float>(in), *out, shift);
      const auto found = out.values();
      for (std::size_t t = 0; t < 96; ++t) {
        const float first = shift == 0 ? in[t] * in[t] : in[t] + in[t];
        const float expected[] = {first + 3, first - 3, first * 3};
        CHECK(found[t] == expected[(t + static_cast<std::size_t>(shift)) % 3]);
      }
    }
    auto rows = random_values<int>(32 * 25, 0, 60, 2);
    Array<int> values(rows);
    program.launch("sort_rows", {}, {32}, 0, *values, 25);
    for (int row = 0; row < 32; ++row) {
      if (row % 2 == 0) {
        std::sort(rows.begin() + row * 25, rows.begin() + row * 25 + 25);
      } else {
        std::sort(rows.begin() + row * 25, rows.begin() + row * 25 + 25, std::greater());
      }
    }
    CHECK(values.values() == rows);
  }
}

TEST_CASE("virtual functions of objects on the heap") {
  for (const auto& mode : kModes) {
    Program program("calls", mode);
    Array<double> out(80);
    program.launch("areas", {}, {80}, 0, *out);
    const auto found = out.values();
    for (int t = 0; t < 80; ++t) {
      CHECK(found[static_cast<std::size_t>(t)] == (t % 2 == 0 ? double{1} * t * t : t * 0.5));
    }
  }
}

TEST_CASE("malloc and free") {
  Program program("calls");
  each_schedule([&] {
    Array<int> out(64);
    program.launch("lists", {}, {64}, 0, *out, 30);
    const auto found = out.values();
    for (int t = 0; t < 64; ++t) CHECK(found[static_cast<std::size_t>(t)] == t * 435);
    program.launch("ask_for_too_much", {}, {1}, 0, *out);
    CHECK(out.values()[0] == 1);
    CHECK(out.values()[1] == 1);
  });
}

TEST_CASE("switch, templates, local arrays") {
  const auto power = [](int x) {
    int result = 1;
    for (int n = 1; n <= 5; ++n) result = x * result + n;
    return result;
  };
  std::vector<int> in;
  for (int t = 0; t < 64; ++t) in.push_back(t % 11 == 10 ? 100 : t % 11);
  for (const auto& mode : kModes) {
    Program program("calls", mode);
    Array<int> out(64);
    program.launch("switches", {}, {64}, 0, *Array<int>(in), *out);
    const auto found = out.values();
    for (std::size_t t = 0; t < 64; ++t) {
      const std::vector<std::pair<int, int>> expected = {
          {0, 5},          {1, 7}, {2, power(2)}, {3, 30}, {4, 29},         {5, 102},
          {6, 0x60000000}, {7, 1}, {8, -1},       {9, -1}, {100, 100 << 20}};
      for (const auto& [value, result] : expected) {
        if (in[t] == value) CHECK(found[t] == result);
      }
    }
    program.launch("local_array", {}, {64}, 0, *out, 5);
    const auto sums = out.values();
    for (int t = 0; t < 64; ++t) {
      int sum = 0;
      for (int i = 0; i < 64; ++i) sum += ((i * 5 + t) & 63) * 5 * i;
      CHECK(sums[static_cast<std::size_t>(t)] == sum);
    }
  }
}
