#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <map>

#include "program.hpp"

using namespace octavo::test;

TEST_CASE("globals with initialisers") {
  const std::string names[] = {"one", "two", "three"}, texts[] = {"alpha", "beta"};
  const double constants[] = {1, 2.5, -3, 4};
  for (const auto& mode : kModes) {
    Program program("data", mode);
    Array<double> out(8 * 32);
    program.launch("read_globals", {}, {32}, 0, *out);
    const auto found = out.values();
    for (std::size_t t = 0; t < 32; ++t) {
      const std::vector<double> expected = {42,
                                            77,
                                            double(names[t % 3][1]),
                                            constants[t % 4],
                                            double(1 + t % 2 * 3 + t % 3),
                                            double(texts[t % 2][2]),
                                            t % 2 == 0 ? 7.0 : -8.0,
                                            t % 2 == 0 ? 'a' + 1.5 : 'b' + 2.5};
      CHECK(std::equal(expected.begin(), expected.end(),
                       found.begin() + static_cast<std::ptrdiff_t>(8 * t)));
    }
    CHECK(program.global("answer") != 0);
  }
}

TEST_CASE("words of lines") {
  const std::vector<std::string> lines = {"",           "a",      "to be, or not to be",
                                          "  spaces  ", "x1y2z3", "END."};
  std::vector<char> text;
  std::vector<int> begins;
  for (const std::string& line : lines) {
    begins.push_back(static_cast<int>(text.size()));
    text.insert(text.end(), line.begin(), line.end());
    text.push_back('\0');
  }
  for (const auto& mode : kModes) {
    Program program("data", mode);
    Array<int> counts(lines.size());
    program.launch("count_words", {}, {6}, 0, *Array<char>(text), *Array<int>(begins), *counts);
    CHECK(counts.values() == std::vector<int>{0, 1, 6, 1, 3, 1});
  }
}

TEST_CASE("a hash table by compare-and-swap") {
  const auto keys = random_values<unsigned>(3000, 0, 700, 1);
  std::map<unsigned, unsigned> expected;
  for (const unsigned key : keys) ++expected[key];
  Program program("data");
  each_schedule([&] {
    Array<unsigned long long> slots(std::vector<unsigned long long>(1024, ~0ull));
    program.launch("insert", {12}, {256}, 0, *slots, 1024u, *Array<unsigned>(keys), 3000u);
    std::map<unsigned, unsigned> found;
    for (const unsigned long long slot : slots.values()) {
      if (slot != ~0ull) found[static_cast<unsigned>(slot >> 32)] += static_cast<unsigned>(slot);
    }
    CHECK(found == expected);
  });
}

TEST_CASE("64-bit integers") {
  __extension__ using Wide = __int128;
  auto in = random_values<long long>(2 * 256, INT64_MIN, INT64_MAX, 2);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] >>= i % 60;
  for (std::size_t i = 1; i < in.size(); i += 2) in[i] |= 1;
  for (const auto& mode : kModes) {
    Program program("data", mode);
    Array<long long> out(12 * 256);
    program.launch("integers", {}, {256}, 0, *Array<long long>(in), *out);
    const auto found = out.values();
    for (std::size_t t = 0; t < 256; ++t) {
      const long long a = in[2 * t], b = in[2 * t + 1];
      const auto ua = static_cast<unsigned long long>(a), ub = static_cast<unsigned long long>(b);
      unsigned long long reversed = 0;
      for (int i = 0; i < 64; ++i) reversed |= (ua >> i & 1) << (63 - i);
      const auto product = static_cast<Wide>(a) * b;
      __extension__ using UnsignedWide = unsigned __int128;
      const std::vector<long long> expected = {
          a / b,
          a % b,
          static_cast<long long>(ua / ub),
          static_cast<long long>(ua % ub),
          static_cast<long long>(product >> 64),
          static_cast<long long>(static_cast<UnsignedWide>(ua) * ub >> 64),
          a >> (ub & 63),
          std::popcount(ua) * 100 + std::countl_zero(ua),
          static_cast<long long>(reversed),
          static_cast<long long>((ua >> 3) * ub),
          static_cast<int>(a) / static_cast<short>(b | 1),
          static_cast<long long>(static_cast<double>(a) * 0.5)};
      const std::vector<long long> own(found.begin() + static_cast<std::ptrdiff_t>(12 * t),
                                       found.begin() + static_cast<std::ptrdiff_t>(12 * t + 12));
      CHECK(own == expected);
    }
  }
}

namespace {

struct Words {
  unsigned x, y, z, w;
};

Words philox(unsigned counter, unsigned seed) {
  Words c{counter, 0, 0, 0};
  unsigned k0 = seed, k1 = 0xCAFE;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c.x,
                        p1 = std::uint64_t{0xCD9E8D57u} * c.z;
    c = {static_cast<unsigned>(p1 >> 32) ^ c.y ^ k0, static_cast<unsigned>(p1),
         static_cast<unsigned>(p0 >> 32) ^ c.w ^ k1, static_cast<unsigned>(p0)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

}  // namespace

TEST_CASE("Monte Carlo") {
  unsigned expected = 0;
  for (unsigned i = 0; i < 4 * 96 * 40; ++i) {
    const Words bits = philox(i, 5);
    const double x = bits.x * 0x1p-32, y = bits.y * 0x1p-32;
    expected += x * x + y * y < 1;
  }
  Program program("data");
  each_schedule([&] {
    Array<unsigned> hits(std::vector<unsigned>{0});
    program.launch("throw_darts", {4}, {96}, 0, *hits, 5u, 40);
    CHECK(hits.values()[0] == expected);
  });
}

TEST_CASE("the Mandelbrot set") {
  constexpr int kWidth = 150, kHeight = 60;
  std::vector<unsigned char> expected;
  for (int y = 0; y < kHeight; ++y) {
    for (int x = 0; x < kWidth; ++x) {
      const double cr = -2 + 3.0 * x / kWidth, ci = -1 + 2.0 * y / kHeight;
      double zr = 0, zi = 0;
      int i = 0;
      for (; i < 200 && zr * zr + zi * zi < 4; ++i) {
        const double next = zr * zr + -(zi * zi) + cr;
        zi = 2 * zr * zi + ci;
        zr = next;
      }
      expected.push_back(static_cast<unsigned char>(i));
    }
  }
  Program program("data");
  Array<unsigned char> out(expected.size());
  program.launch("mandelbrot", {2, kHeight}, {96}, 0, *out, kWidth, kHeight);
  CHECK(out.values() == expected);
}

TEST_CASE("where shared memory begins, and dynamic shared memory") {
  Program program("data");
  const Array<unsigned> out(2);
  program.launch("shared_addresses", {}, {1}, 4, *out);
  const unsigned begin = device().compute_capability() >= 90 ? 1024 : 0;
  CHECK(out.values() == std::vector<unsigned>{begin, begin + 256});
}

TEST_CASE("memory grows with the blocks that are resident, not with the grid") {
  Program program("data");
  Array<unsigned> last(std::vector<unsigned>{0});
  program.launch("exit_at_once", {200'000}, {1}, 0, *last);
  CHECK(last.values()[0] == 199'999);
}
