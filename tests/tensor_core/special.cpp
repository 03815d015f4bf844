// The special functions: within the ISA's error of the true value, and its special cases to the
// bit.
#include "tensor_core/special.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace octavo::emulator::tensor_core {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kSubnormal = 0x1p-130f;

float evaluate(const std::string& opcode, float x) {
  const Special* special = find_special(opcode);
  REQUIRE_MESSAGE(special, opcode);
  float lanes[32];
  std::fill(lanes, lanes + 32, x);
  special->function(lanes, lanes);
  for (const float lane : lanes)
    REQUIRE(std::bit_cast<std::uint32_t>(lane) == std::bit_cast<std::uint32_t>(lanes[0]));
  return lanes[0];
}

struct Function {
  std::string name;
  double (*exact)(double);
  float low, high;            // of the arguments
  double relative, absolute;  // error allowed: either
  bool has_ftz = true;
};

double exact_rcp(double x) { return 1 / x; }
double exact_rsqrt(double x) { return 1 / std::sqrt(x); }

const Function kFunctions[] = {
    {"ex2", std::exp2, -126, 127, 0x1p-22, 0},
    {"lg2", std::log2, 0x1p-126f, 0x1p127f, 0x1p-22, 0x1p-22},
    {"rcp", exact_rcp, 0x1p-126f, 0x1p126f, 0x1p-23, 0},
    {"rsqrt", exact_rsqrt, 0x1p-126f, 0x1p127f, 0x1p-22, 0},
    {"sqrt", std::sqrt, 0x1p-126f, 0x1p127f, 0x1p-23, 0},
    {"sin", std::sin, -6.28f, 6.28f, 0, 0x1p-20},
    {"cos", std::cos, -6.28f, 6.28f, 0, 0x1p-20},
    {"tanh", std::tanh, -20, 20, 0x1p-11, 0, false},
};

TEST_CASE("every function is within its error") {
  std::mt19937 random(3);
  for (const Function& function : kFunctions)
    for (const bool ftz : {false, true}) {
      if (ftz && !function.has_ftz) continue;
      const std::string opcode = function.name + (ftz ? ".approx.ftz.f32" : ".approx.f32");
      CAPTURE(opcode);
      const Special* special = find_special(opcode);
      REQUIRE(special);
      // Evenly among the bit patterns where all are positive: every binade.
      const auto first = std::bit_cast<std::uint32_t>(function.low);
      const auto last = std::bit_cast<std::uint32_t>(function.high);
      for (int repeat = 0; repeat < 1000; ++repeat) {
        float x[32], y[32];
        for (float& value : x)
          value = function.low > 0
                      ? std::bit_cast<float>(first +
                                             static_cast<std::uint32_t>(random()) % (last - first))
                      : std::uniform_real_distribution(function.low, function.high)(random);
        special->function(y, x);
        for (int lane = 0; lane < 32; ++lane) {
          const double exact = function.exact(static_cast<double>(x[lane]));
          const double error = std::abs(static_cast<double>(y[lane]) - exact);
          // Not the other way round, which a NaN would pass.
          if (!(error <= std::max(function.absolute, function.relative * std::abs(exact))))
            FAIL(fmt::format("{}({:a}) is {:a}, not {:a}", opcode, x[lane], y[lane], exact));
        }
      }
    }
}

TEST_CASE("special values, as the ISA lists them") {
  struct Row {
    std::string opcode;
    float x, y;
  };
  const std::vector<Row> rows = {
      {"ex2.approx.ftz.f32", -kInf, 0.f},
      {"ex2.approx.ftz.f32", -kSubnormal, 1.f},
      {"ex2.approx.ftz.f32", -0.f, 1.f},
      {"ex2.approx.ftz.f32", kInf, kInf},
      {"ex2.approx.ftz.f32", kNan, kNan},
      {"ex2.approx.ftz.f32", 128.f, kInf},
      {"ex2.approx.ftz.f32", -126.f, 0x1p-126f},
      {"ex2.approx.ftz.f32", -126.5f, 0.f},
      {"ex2.approx.ftz.f32", -1e30f, 0.f},
      {"ex2.approx.f32", -130.f, 0x1p-130f},
      {"ex2.approx.f32", -149.f, 0x1p-149f},
      {"ex2.approx.f32", -151.f, 0.f},
      {"ex2.approx.f32", 10.f, 1024.f},
      {"ex2.approx.f32", 1e30f, kInf},
      {"lg2.approx.ftz.f32", -kInf, kNan},
      {"lg2.approx.ftz.f32", -1.f, kNan},
      {"lg2.approx.ftz.f32", -kSubnormal, -kInf},
      {"lg2.approx.ftz.f32", kSubnormal, -kInf},
      {"lg2.approx.ftz.f32", 0.f, -kInf},
      {"lg2.approx.ftz.f32", -0.f, -kInf},
      {"lg2.approx.ftz.f32", 1.f, 0.f},
      {"lg2.approx.ftz.f32", kInf, kInf},
      {"lg2.approx.f32", kSubnormal, -130.f},
      {"lg2.approx.f32", -kSubnormal, kNan},
      {"rcp.approx.ftz.f32", -kInf, -0.f},
      {"rcp.approx.ftz.f32", -kSubnormal, -kInf},
      {"rcp.approx.ftz.f32", -0.f, -kInf},
      {"rcp.approx.ftz.f32", 0.f, kInf},
      {"rcp.approx.ftz.f32", kInf, 0.f},
      {"rcp.approx.ftz.f32", 0x1p127f, 0.f},
      {"rcp.approx.ftz.f32", kNan, kNan},
      {"rcp.approx.f32", 0x1p127f, 0x1p-127f},
      {"rcp.approx.f32", 0x1p-127f, 0x1p127f},
      {"rcp.approx.f32", kSubnormal, kInf},
      {"rsqrt.approx.ftz.f32", -kInf, kNan},
      {"rsqrt.approx.ftz.f32", -1.f, kNan},
      {"rsqrt.approx.ftz.f32", -kSubnormal, -kInf},
      {"rsqrt.approx.ftz.f32", -0.f, -kInf},
      {"rsqrt.approx.ftz.f32", 0.f, kInf},
      {"rsqrt.approx.ftz.f32", kInf, 0.f},
      {"rsqrt.approx.f32", 0x1p-130f, 0x1p65f},
      {"rsqrt.approx.f32", -kSubnormal, kNan},
      {"sqrt.approx.ftz.f32", -kInf, kNan},
      {"sqrt.approx.ftz.f32", -1.f, kNan},
      {"sqrt.approx.ftz.f32", -kSubnormal, -0.f},
      {"sqrt.approx.ftz.f32", -0.f, -0.f},
      {"sqrt.approx.ftz.f32", kInf, kInf},
      {"sqrt.approx.f32", kSubnormal, 0x1p-65f},
      {"sin.approx.ftz.f32", -kInf, kNan},
      {"sin.approx.ftz.f32", -kSubnormal, -0.f},
      {"sin.approx.ftz.f32", -0.f, -0.f},
      {"cos.approx.ftz.f32", kInf, kNan},
      {"cos.approx.ftz.f32", -kSubnormal, 1.f},
      {"cos.approx.f32", 0.f, 1.f},
      {"tanh.approx.f32", -kInf, -1.f},
      {"tanh.approx.f32", -0.f, -0.f},
      {"tanh.approx.f32", kInf, 1.f},
      {"tanh.approx.f32", kNan, kNan},
  };
  for (const Row& row : rows) {
    CAPTURE(row.opcode);
    CAPTURE(row.x);
    const auto expected = row.y == row.y ? std::bit_cast<std::uint32_t>(row.y) : 0x7FFFFFFF;
    CHECK(fmt::format("{:08x}", std::bit_cast<std::uint32_t>(evaluate(row.opcode, row.x))) ==
          fmt::format("{:08x}", expected));
  }
}

TEST_CASE("an H100's bits where they are not the correctly rounded ones") {
  struct Row {
    std::string opcode;
    std::uint32_t x, y;
  };
  const std::vector<Row> rows = {
      {"ex2.approx.ftz.f32", 0x3F9A2B34, 0x40137CA9},
      {"ex2.approx.ftz.f32", 0x42318252, 0x55A641A3},
      {"ex2.approx.ftz.f32", 0xBE227C8E, 0x3F655621},
      {"ex2.approx.ftz.f32", 0xC29A2B34, 0x18F174D6},
      {"lg2.approx.ftz.f32", 0x3F84A88F, 0x3D533DD4},
      {"lg2.approx.ftz.f32", 0x3EA27C8E, 0xBFD3F206},
      {"lg2.approx.ftz.f32", 0x41227C8E, 0x405606FC},
      {"lg2.approx.ftz.f32", 0x3F000000, 0xBF7FFFFE},
      {"rcp.approx.ftz.f32", 0x3F9A2B34, 0x3F548BDB},
      {"rcp.approx.ftz.f32", 0xBFA27C8E, 0xBF49AA7A},
      {"rsqrt.approx.ftz.f32", 0x3F84A88F, 0x3F7B770A},
      {"rsqrt.approx.ftz.f32", 0x4004A88F, 0x3F31D007},
      {"sqrt.approx.ftz.f32", 0x3FEC6A8D, 0x3FADF52A},
      {"sqrt.approx.ftz.f32", 0x406C6A8D, 0x3FF60368},
      {"ex2.approx.ftz.f32", 0xB27D00B5, 0x3F800000},
      {"sin.approx.ftz.f32", 0xC539CE54, 0xBF5005A2},
      {"sin.approx.ftz.f32", 0x3EC8E8C3, 0x3EC3CAF6},
      {"sin.approx.f32", 0x947F279F, 0x80000000},
      {"cos.approx.ftz.f32", 0x412F8694, 0xBCCE928F},
      {"cos.approx.ftz.f32", 0xC05A14AA, 0xBF770083},
      {"tanh.approx.f32", 0x3E23FB16, 0x3E2297F0},
      {"tanh.approx.f32", 0x00000001, 0x00000001},
      {"ex2.approx.f16", 0xC1C7E000, 0x00000000},
      {"ex2.approx.f16", 0x41800000, 0x7F800000},
  };
  for (const Row& row : rows) {
    CAPTURE(row.opcode);
    CHECK(fmt::format("{:08x}", std::bit_cast<std::uint32_t>(
                                    evaluate(row.opcode, std::bit_cast<float>(row.x)))) ==
          fmt::format("{:08x}", row.y));
  }
}

TEST_CASE("lanes do not mix") {
  for (const Special& special : special_table()) {
    float x[32], y[32];
    for (int lane = 0; lane < 32; ++lane) x[lane] = 0.25f * static_cast<float>(lane) + 0.125f;
    x[7] = kNan;
    special.function(y, x);
    for (int lane = 0; lane < 32; ++lane)
      CHECK(std::bit_cast<std::uint32_t>(y[lane]) ==
            std::bit_cast<std::uint32_t>(evaluate(std::string(special.opcode), x[lane])));
  }
}

}  // namespace
}  // namespace octavo::emulator::tensor_core
