// cuTensorMapEncodeTiled refuses what the driver refuses, and says why.
#include <doctest/doctest.h>

#include <functional>
#include <string>

#include "orders.hpp"

using octavo::emulator::test::use_device;

namespace {

struct Arguments {
  CUtensorMap map;
  CUtensorMap* to = &map;
  CUtensorMapDataType type = CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
  unsigned rank = 3;
  std::uint64_t address = 0x10000;
  std::uint64_t sizes[5] = {64, 8, 4, 2, 2}, strides[4] = {128, 1024, 4096, 8192};
  unsigned box[5] = {32, 4, 2, 1, 1}, steps[5] = {1, 1, 1, 1, 1};
  CUtensorMapInterleave interleave = CU_TENSOR_MAP_INTERLEAVE_NONE;
  CUtensorMapSwizzle swizzle = CU_TENSOR_MAP_SWIZZLE_64B;
  CUtensorMapL2promotion promotion = CU_TENSOR_MAP_L2_PROMOTION_L2_256B;
  CUtensorMapFloatOOBfill fill = CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA;
};

CUresult encode(Arguments& a) {
  return cuTensorMapEncodeTiled(a.to, a.type, a.rank, reinterpret_cast<void*>(a.address), a.sizes,
                                a.strides, a.box, a.steps, a.interleave, a.swizzle, a.promotion,
                                a.fill);
}

struct Case {
  std::function<void(Arguments&)> change;
  const char* says;  // nullptr: it is good
};

}  // namespace

TEST_CASE("what a tensor map may say") {
  use_device();
  const Case cases[] = {
      {[](Arguments&) {}, nullptr},
      {[](Arguments& a) { a.to = nullptr; }, "tensorMap"},
      {[](Arguments& a) {
         a.to = reinterpret_cast<CUtensorMap*>(reinterpret_cast<char*>(&a.map) + 16);
       },
       "tensorMap: expected an address that is a multiple of 64"},
      {[](Arguments& a) { a.type = CUtensorMapDataType{16}; }, "tensorDataType 16"},
      {[](Arguments& a) { a.type = CUtensorMapDataType{-1}; }, "tensorDataType -1"},
      {[](Arguments& a) { a.rank = 0; }, "tensorRank 0: expected 1 to 5"},
      {[](Arguments& a) { a.rank = 6; }, "tensorRank 6: expected 1 to 5"},
      {[](Arguments& a) { a.rank = 1; }, nullptr},
      {[](Arguments& a) { a.rank = 5; }, nullptr},
      {[](Arguments& a) { a.address += 8; }, "globalAddress 65544: expected a multiple of 16"},
      {[](Arguments& a) { a.sizes[2] = 0; }, "globalDim[2] 0: expected 1 to 2^32"},
      {[](Arguments& a) { a.sizes[1] = std::uint64_t{1} << 32; }, nullptr},
      {[](Arguments& a) { a.sizes[1] = (std::uint64_t{1} << 32) + 1; },
       "globalDim[1] 4294967297: expected 1 to 2^32"},
      {[](Arguments& a) { a.strides[0] = 136; }, "globalStrides[0] 136: expected a multiple of 16"},
      {[](Arguments& a) { a.strides[1] = std::uint64_t{1} << 40; },
       "globalStrides[1] 1099511627776: expected less than 2^40"},
      {[](Arguments& a) { a.strides[2] = 1; }, nullptr},  // not looked at in three dimensions
      {[](Arguments& a) { a.box[1] = 0; }, "boxDim[1] 0: expected 1 to 256"},
      {[](Arguments& a) { a.box[1] = 257; }, "boxDim[1] 257: expected 1 to 256"},
      {[](Arguments& a) { a.box[1] = 256; }, nullptr},
      {[](Arguments& a) { a.box[0] = 20; }, "boxDim[0] in bytes 40: expected a multiple of 16"},
      {[](Arguments& a) { a.box[0] = 40; },
       "boxDim[0] in bytes 80: expected at most the swizzle's span"},
      {[](Arguments& a) { a.box[0] = 256, a.swizzle = CU_TENSOR_MAP_SWIZZLE_NONE; }, nullptr},
      {[](Arguments& a) { a.box[0] = 64, a.swizzle = CU_TENSOR_MAP_SWIZZLE_128B; }, nullptr},
      {[](Arguments& a) { a.steps[1] = 0; }, "elementStrides[1] 0: expected 1 to 8"},
      {[](Arguments& a) { a.steps[2] = 9; }, "elementStrides[2] 9: expected 1 to 8"},
      {[](Arguments& a) { a.steps[2] = 8; }, nullptr},
      {[](Arguments& a) { a.steps[0] = 0; }, "elementStrides[0] 0: expected 1 to 8"},
      {[](Arguments& a) { a.interleave = CUtensorMapInterleave{3}; }, "interleave 3"},
      {[](Arguments& a) { a.swizzle = CUtensorMapSwizzle{7}; }, "swizzle 7"},
      {[](Arguments& a) { a.promotion = CUtensorMapL2promotion{4}; }, "l2Promotion 4"},
      {[](Arguments& a) { a.fill = CUtensorMapFloatOOBfill{2}; }, "oobFill 2"},
      {[](Arguments& a) { a.type = CU_TENSOR_MAP_DATA_TYPE_UINT16; },
       "oobFill 1: expected no NaNs for an integer type"},
      {[](Arguments& a) { a.interleave = CU_TENSOR_MAP_INTERLEAVE_16B; }, nullptr},
      {[](Arguments& a) { a.interleave = CU_TENSOR_MAP_INTERLEAVE_16B, a.rank = 2; },
       "tensorRank 2: expected 3 to 5 with interleaving"},
      // An H100's driver takes it with any swizzle, whatever the documentation says.
      {[](Arguments& a) { a.interleave = CU_TENSOR_MAP_INTERLEAVE_32B; }, nullptr},
      {[](Arguments& a) { a.box[0] = 20, a.interleave = CU_TENSOR_MAP_INTERLEAVE_16B; },
       "boxDim[0] in bytes 40: expected a multiple of 16"},
      {[](Arguments& a) { a.swizzle = CU_TENSOR_MAP_SWIZZLE_128B_ATOM_32B; },
       "swizzle 4: expected atoms of 16 bytes before compute capability 10.0"},
      {[](Arguments& a) { a.type = CU_TENSOR_MAP_DATA_TYPE_16U4_ALIGN8B; },
       "elements of 4 and 6 bits are not supported"},
      {[](Arguments& a) {
         a.interleave = CU_TENSOR_MAP_INTERLEAVE_32B, a.swizzle = CU_TENSOR_MAP_SWIZZLE_32B;
         a.strides[0] = 144;
       },
       "globalStrides[0] 144: expected a multiple of 32"}};
  for (const Case& test : cases) {
    Arguments arguments;
    test.change(arguments);
    const CUresult code = encode(arguments);
    const char* message = nullptr;
    REQUIRE(octavoEmulatorLastFault(&message) == CUDA_SUCCESS);
    if (test.says == nullptr) {
      CHECK_MESSAGE(code == CUDA_SUCCESS, std::string(message));
      continue;
    }
    CHECK(code == CUDA_ERROR_INVALID_VALUE);
    CHECK_MESSAGE(std::string(message).find(test.says) != std::string::npos,
                  message << " lacks " << test.says);
  }
}

TEST_CASE("a tensor map's address is replaced") {
  use_device();
  Arguments here, there;
  there.address += 0x1000;
  REQUIRE(encode(here) == CUDA_SUCCESS);
  REQUIRE(encode(there) == CUDA_SUCCESS);
  CHECK(cuTensorMapReplaceAddress(&here.map, reinterpret_cast<void*>(0x11008)) ==
        CUDA_ERROR_INVALID_VALUE);
  CHECK(cuTensorMapReplaceAddress(&here.map, reinterpret_cast<void*>(0x11000)) == CUDA_SUCCESS);
  CHECK(std::string_view(reinterpret_cast<char*>(&here.map), sizeof here.map) ==
        std::string_view(reinterpret_cast<char*>(&there.map), sizeof there.map));
  CUtensorMap nothing{};
  CHECK(cuTensorMapReplaceAddress(&nothing, nullptr) == CUDA_ERROR_INVALID_VALUE);
}
