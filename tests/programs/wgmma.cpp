// Kernels with wgmma give the host's products, the same bits under every completion order.
#include <doctest/doctest.h>
#include <fmt/core.h>

#include <bit>
#include <cstdint>
#include <cstdlib>
#include <filesystem>

#include "program.hpp"
#include "runtime/driver.hpp"

using namespace octavo::test;

namespace {

constexpr const char* kOrders[] = {"eager", "latest", "random:1", "random:2", "random:3"};

// Multiples of a half up to 2: sums of 384 products fit in the 14 bits of fp8's accumulators.
struct Matrix {
  std::vector<float> values;
  std::vector<std::uint8_t> e4m3;
  std::vector<std::uint16_t> bf16;

  Matrix(std::size_t count, unsigned seed) {
    constexpr std::uint8_t kHalves[] = {0x00, 0x30, 0x38, 0x3C, 0x40};
    std::mt19937 random(seed);
    for (std::size_t i = 0; i < count; ++i) {
      const auto halves = random() % 5, sign = random() % 2;
      const float value = (sign ? -0.5F : 0.5F) * static_cast<float>(halves);
      values.push_back(value);
      e4m3.push_back(static_cast<std::uint8_t>(kHalves[halves] | (sign << 7)));
      bf16.push_back(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16));
    }
  }
};

constexpr unsigned kM = 128, kN = 192, kK = 384;

// a is kM x kK; element (k, column) of b is at k * b_row + column * b_column.
std::vector<float> product(const Matrix& a, const Matrix& b, unsigned b_row, unsigned b_column) {
  std::vector<float> c(kM * kN);
  for (unsigned row = 0; row < kM; ++row)
    for (unsigned column = 0; column < kN; ++column)
      for (unsigned k = 0; k < kK; ++k)
        c[row * kN + column] += a.values[row * kK + k] * b.values[k * b_row + column * b_column];
  return c;
}

template <typename T>
void check(const char* kernel, const std::vector<T>& a, const std::vector<T>& b,
           const std::vector<float>& expected) {
  // Not for debugging: that keeps accumulators in memory, where wgmma cannot leave them.
  Program program("wgmma");
  for (const std::string order : kOrders) {
    CAPTURE(std::string(kernel));
    CAPTURE(order);
    setenv("OCTAVO_ASYNC", order.c_str(), 1);
    Array<float> c(expected.size());
    program.launch(kernel, {kN / 64, kM / 64}, {128}, 32768, *Array<T>(a), *Array<T>(b), *c,
                   static_cast<int>(kN), static_cast<int>(kK));
    CHECK(c.values() == expected);
  }
  unsetenv("OCTAVO_ASYNC");
}

}  // namespace

TEST_CASE("fp8 products with accumulators in flight across iterations") {
  const Matrix a(kM * kK, 1), b(kN * kK, 2);
  const auto expected = product(a, b, 1, kK);
  check("gemm_fp8", a.e4m3, b.e4m3, expected);
  check("gemm_fp8_two_level", a.e4m3, b.e4m3, expected);
}

TEST_CASE("bf16 products, A from registers and B along n") {
  const Matrix a(kM * kK, 3), b(kK * kN, 4);
  check("gemm_bf16", a.bf16, b.bf16, product(a, b, kN, 1));
}

namespace {

// Of a row-major matrix of bytes; boxes of 64 rows of 128 bytes, as wgmma reads them.
CUtensorMap tensor_map(CUdeviceptr matrix, unsigned rows, unsigned columns) {
  CUtensorMap map;
  const std::uint64_t sizes[] = {columns, rows}, strides[] = {columns};
  const unsigned box[] = {128, 64}, steps[] = {1, 1};
  REQUIRE(device().driver().cuTensorMapEncodeTiled(
              &map, CU_TENSOR_MAP_DATA_TYPE_UINT8, 2, reinterpret_cast<void*>(matrix), sizes,
              strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
              CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS);
  return map;
}

}  // namespace

TEST_CASE("fp8 products of tiles that another warpgroup fetches") {
  const Matrix a(kM * kK, 5), b(kN * kK, 6);
  const auto expected = product(a, b, 1, kK);
  const Array<std::uint8_t> a_bytes(a.e4m3), b_bytes(b.e4m3);
  const CUtensorMap a_map = tensor_map(*a_bytes, kM, kK), b_map = tensor_map(*b_bytes, kN, kK);
  Program program("wgmma");
  for (const std::string order : kOrders) {
    setenv("OCTAVO_ASYNC", order.c_str(), 1);
    CAPTURE(order);
    each_schedule([&] {
      Array<float> c(expected.size());
      program.launch("gemm_tma", {kN / 64, kM / 64}, {256}, 34 << 10, a_map, b_map, *c,
                     static_cast<int>(kN), static_cast<int>(kK));
      CHECK(c.values() == expected);
    });
  }
  unsetenv("OCTAVO_ASYNC");
}

namespace {

struct Planted {
  const char* fault;
  const char* says;
};
constexpr Planted kPlanted[] = {
    {"kNoProxyFence", "which a thread wrote without a fence.proxy.async after it"},
    {"kNoFence", "no wgmma.fence comes before it"},
    {"kNoWait", "which work in flight still reads"},
    {"kNoBarrier", "which work in flight still reads"},
    {"kNoLastWait", "an accumulator is touched before the wgmma.wait_group of its wgmma"},
};

}  // namespace

// A fault is the end of its context: each is planted in a process of its own.
TEST_CASE("faults planted in an fp8 product") {
  if (!device().emulated()) {
    MESSAGE("not run: a GPU does not report them");
    return;
  }
  const std::string self = std::filesystem::read_symlink("/proc/self/exe");
  for (std::size_t i = 0; i < std::size(kPlanted); ++i) {
    const std::string command = fmt::format(
        "PLANTED={} OCTAVO_ASYNC=latest '{}' --no-skip --test-case='a planted fault' >/dev/null "
        "2>&1",
        i, self);
    CHECK_MESSAGE(std::system(command.c_str()) == 0, std::string(kPlanted[i].fault));
  }
}

TEST_CASE("a planted fault" * doctest::skip()) {
  const char* number = std::getenv("PLANTED");
  REQUIRE(number != nullptr);
  const auto& [fault, says] = kPlanted[std::atoi(number)];
  const Matrix a(kM * kK, 1), b(kN * kK, 2);
  Program program("wgmma", {fmt::format("-DFAULT={}", fault)});
  Array<float> c(kM * kN);
  const CUresult result = program.try_launch(
      "gemm_fp8", {kN / 64, kM / 64}, {128}, 32768, *Array<std::uint8_t>(a.e4m3),
      *Array<std::uint8_t>(b.e4m3), *c, static_cast<int>(kN), static_cast<int>(kK));
  CHECK(result == CUDA_ERROR_LAUNCH_FAILED);
  CAPTURE(last_fault());
  CHECK(last_fault().find(says) != std::string::npos);
}
