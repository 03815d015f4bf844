#include <doctest/doctest.h>

#include "program.hpp"
#include "runtime/driver.hpp"

using namespace octavo::test;

namespace {

constexpr unsigned kSide = 32;  // of a tile

// Of rows of 32 floats; a box is a tile, swizzled.
CUtensorMap tensor_map(CUdeviceptr tensor, unsigned rows) {
  CUtensorMap map;
  const std::uint64_t sizes[] = {kSide, rows}, strides[] = {kSide * 4};
  const unsigned box[] = {kSide, kSide}, steps[] = {1, 1};
  REQUIRE(device().driver().cuTensorMapEncodeTiled(
              &map, CU_TENSOR_MAP_DATA_TYPE_FLOAT32, 2, reinterpret_cast<void*>(tensor), sizes,
              strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
              CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS);
  return map;
}

}  // namespace

TEST_CASE("tiles go through shared memory by TMA") {
  // The last tile is not whole: what lies outside is neither read nor written.
  constexpr unsigned kTiles = 7, kRows = kTiles * kSide - 5, kGuard = kSide;
  std::vector<float> x = random_values<float>((kRows + kGuard) * kSide, -100, 100, 1);
  for (float& value : x) value = static_cast<float>(static_cast<int>(value));  // sums are exact
  std::vector<float> expected = x;
  for (unsigned row = 0; row < kRows; ++row) {
    for (unsigned column = 0; column < kSide; ++column) {
      // In row r of a tile, 16 bytes c lie at place c ^ r % 8.
      const unsigned place = (column / 4 ^ (row % 8)) * 4 + column % 4;
      expected[row * kSide + column] += static_cast<float>(row % kSide * kSide + place);
    }
  }
  for (const auto& mode : kModes) {
    Program program("tma", mode);
    for (const std::string order : {"eager", "latest", "random:1", "random:2", "random:3"}) {
      CAPTURE(order);
      setenv("OCTAVO_ASYNC", order.c_str(), 1);
      each_schedule([&] {
        const Array<float> in(x), out(x);
        program.launch("add_places", {3}, {128}, 9216, tensor_map(*in, kRows),
                       tensor_map(*out, kRows), static_cast<int>(kTiles));
        CHECK(out.values() == expected);
      });
    }
  }
  unsetenv("OCTAVO_ASYNC");
}
