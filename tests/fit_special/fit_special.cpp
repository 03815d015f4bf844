// Prints the special functions' tables from recordings of an H100:
//
//   octavo_fit_special mufu-h100.tar.gz > special_tables.cpp
//   octavo_fit_special sin.approx.ftz.f32.tar.gz cos.approx.ftz.f32.tar.gz tanh.approx.f32.tar.gz
//       > special_tables_sampled.cpp
//
// The first has results of whole binades (tests/vectors/recordings.hpp); the others, as
// tools/gpu.sh records them, those of every so many fp32: p-3.every64.u32.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <stdexcept>
#include <vector>

#include "../vectors/recordings.hpp"
#include "fit.hpp"

namespace octavo::emulator::tensor_core {
namespace {

using Samples = std::vector<std::vector<Sample>>;  // of each segment

// |y|, truncated to 24 digits, in units of 2^-scale.
Sample sample_of(std::int64_t x, double y, int scale) {
  const int ulp = std::max(std::ilogb(y) - 23 + scale, 0);
  return {x, static_cast<std::int64_t>(std::ldexp(std::abs(y), scale)), std::int64_t{1} << ulp};
}

void print_table(const std::string& name, const Interpolation& interpolation,
                 const Samples& samples) {
  fmt::print("const Segment k{}Segments[{}] = {{\n", name, samples.size());
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const Segment segment = fit(interpolation, samples[i]);
    const bool last = i % 4 == 3 || i + 1 == samples.size();
    fmt::print("{}{{{}, {}, {}}}{}", i % 4 == 0 ? "    " : " ", segment.c0, segment.c1, segment.c2,
               last ? ",\n" : ",");
  }
  fmt::print("}};\n\n");
}

// --- whole binades

struct Whole {
  std::string table;
  std::vector<std::string> recordings;  // in the order of the table's segments
  Interpolation interpolation;
  int digits;    // of the results after the binary point
  double added;  // to the recorded result, for what the table holds
  double factor = 1;
};

const Whole kWhole[] = {
    // 2^x for x in [1, 2) has the mantissas of x - 1.
    {"Ex2", {"ex2_p0"}, kEx2, 23, 0, 0.5},
    {"Rcp", {"rcp_0"}, kRcp, 24, 0},
    {"Lg2", {"lg2_1"}, kLg2, 23, -1},
    {"Rsqrt", {"rsq_0", "rsq_1"}, kRsqrt, 24, 0},
    {"Sqrt", {"sqrt_0", "sqrt_1"}, kSqrt, 23, 0},
};

void add_samples(const Whole& table, const Recording& recording, Samples& samples) {
  const int segment_bits = table.interpolation.segment_bits, unused = 23 - segment_bits;
  const int shift = table.interpolation.scale - table.digits;
  const std::size_t first = samples.size();
  samples.resize(first + (std::size_t{1} << segment_bits));
  for (std::uint32_t i = 0; i < recording.differences.size(); ++i) {
    // A segment's first result may be exact by itself, as rsqrt's of 1 is.
    const std::uint32_t x = i & ((1u << unused) - 1);
    if (x == 0) continue;
    const auto bits = correctly_rounded(recording.function, recording.first + i) +
                      static_cast<std::uint32_t>(recording.differences[i]);
    const double y = static_cast<double>(std::bit_cast<float>(bits)) * table.factor + table.added;
    samples[first + (i >> unused)].push_back(
        {std::int64_t{x} << (17 - unused),
         static_cast<std::int64_t>(std::ldexp(y, table.digits)) << shift,
         std::int64_t{1} << shift});
  }
}

void print_whole(const std::string& archive) {
  std::map<std::string, Recording> recordings;
  for_each_recording(archive, [&](const Recording& recording) {
    for (const Whole& table : kWhole)
      if (std::ranges::count(table.recordings, recording.name) != 0)
        recordings[recording.name] = recording;
  });
  for (const Whole& table : kWhole) {
    Samples samples;
    for (const std::string& name : table.recordings)
      add_samples(table, recordings.at(name), samples);
    print_table(table.table, table.interpolation, samples);
  }
}

// --- samples

// What the unit looks up for sin(x) or cos(x): special_unit.hpp's turns() and unit_sine.
void add_sine(float x, double y, int quarters, Samples& samples) {
  const double product = static_cast<double>(x) * static_cast<double>(0x1.45f306p-3f);
  auto turns = static_cast<float>(product);
  if (static_cast<double>(turns) > product) turns = std::nextafter(turns, 0.0f);
  const auto angle = static_cast<std::int64_t>(std::ldexp(turns, 25));
  const bool mirrored = (((angle >> 23) + quarters) & 1) != 0;
  const std::int64_t fraction = (mirrored ? ~angle : angle) & 0x7FFFFF;
  samples[static_cast<std::size_t>(fraction >> 17)].push_back(
      sample_of(fraction & 0x1FFFF, y, kSin.scale));
}

// The segments of each binade from 2^-8 on, as powers of two.
constexpr int kTanhBits[] = {0, 0, 0, 1, 1, 2, 2, 2, 3, 4, 3};

void add_tanh(float x, double y, Samples& samples) {
  const int binade = std::ilogb(x) + 8;
  if (binade < 0 || binade >= static_cast<int>(std::size(kTanhBits))) return;
  std::size_t segment = 0;
  for (int i = 0; i < binade; ++i) segment += std::size_t{1} << kTanhBits[i];
  const auto mantissa = std::bit_cast<std::uint32_t>(x) & 0x7FFFFF;
  const int unused = 23 - kTanhBits[binade];
  samples[segment + (mantissa >> unused)].push_back(
      sample_of((mantissa & ((1u << unused) - 1)) >> (unused - 17), y, kTanh.scale));
}

template <typename Visit>
void for_each_sample(const std::string& archive, Visit&& visit) {
  for_each_file(archive, ".u32",
                [&](const std::string& stem, const std::vector<std::int8_t>& bytes) {
                  int exponent = 0;
                  std::uint32_t step = 0;
                  if (std::sscanf(stem.c_str(), "p%d.every%u", &exponent, &step) != 2)
                    throw std::runtime_error(fmt::format("{} names no binade and step", stem));
                  for (std::uint32_t i = 0; i < bytes.size() / 4; ++i) {
                    float y = 0;
                    std::memcpy(&y, &bytes[4 * i], sizeof y);
                    const auto x = (static_cast<std::uint32_t>(exponent + 127) << 23) + i * step;
                    visit(std::bit_cast<float>(x), static_cast<double>(y));
                  }
                });
}

void print_sampled(const std::string& sin, const std::string& cos, const std::string& tanh) {
  Samples sine(64), tangent(51);
  for_each_sample(sin, [&](float x, double y) { add_sine(x, y, 0, sine); });
  for_each_sample(cos, [&](float x, double y) { add_sine(x, y, 1, sine); });
  for_each_sample(tanh, [&](float x, double y) { add_tanh(x, y, tangent); });
  print_table("Sin", kSin, sine);
  print_table("Tanh", kTanh, tangent);
}

}  // namespace
}  // namespace octavo::emulator::tensor_core

int main(int argc, char** argv) {
  using namespace octavo::emulator::tensor_core;
  if (argc != 2 && argc != 4) {
    fmt::print(stderr,
               "usage: octavo_fit_special mufu-h100.tar.gz > special_tables.cpp\n"
               "       octavo_fit_special SIN.tar.gz COS.tar.gz TANH.tar.gz > "
               "special_tables_sampled.cpp\n");
    return 2;
  }
  try {
    fmt::print(R"(// Printed by octavo_fit_special from {} of an H100.
#include "tensor_core/special_tables.hpp"

namespace octavo::emulator::tensor_core {{

// clang-format off
)",
               argc == 2 ? "recordings" : "samples of sin, cos and tanh");
    if (argc == 2) {
      print_whole(argv[1]);
    } else {
      print_sampled(argv[1], argv[2], argv[3]);
    }
    fmt::print("// clang-format on\n\n}}  // namespace octavo::emulator::tensor_core\n");
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "octavo_fit_special: {}\n", error.what());
    return 3;
  }
}
