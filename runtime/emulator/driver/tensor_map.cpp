// Tensor maps: the driver's checks of what one may say, and its 128 bytes.
#include "execute/tensor_map.hpp"

#include <cstring>

#include "driver/api.hpp"

namespace octavo::emulator::driver {
namespace {

struct Tiled {
  CUtensorMapDataType type;
  std::uint32_t rank;
  std::uint64_t address;
  const std::uint64_t* sizes;
  const std::uint64_t* strides;
  const std::uint32_t* box;
  const std::uint32_t* steps;
  CUtensorMapInterleave interleave;
  CUtensorMapSwizzle swizzle;
  CUtensorMapL2promotion promotion;
  CUtensorMapFloatOOBfill fill;
};

template <typename T>
void check(bool good, const char* name, T value, const char* expected) {
  if (!good) {
    throw Fault(CUDA_ERROR_INVALID_VALUE, fmt::format("{} {}: expected {}", name, value, expected));
  }
}

template <typename T>
void check(bool good, const char* name, int dimension, T value, const char* expected) {
  if (!good) {
    throw Fault(CUDA_ERROR_INVALID_VALUE,
                fmt::format("{}[{}] {}: expected {}", name, dimension, value, expected));
  }
}

bool is_floating(ElementType type) {
  return type >= ElementType::f16 && type <= ElementType::tf32_ftz;
}

void check_modes(const DeviceModel& model, const Tiled& tiled) {
  if (model.compute_capability < 90) {
    throw Fault(CUDA_ERROR_NOT_SUPPORTED, "tensor maps need compute capability 9.0");
  }
  check(tiled.type >= 0 && tiled.type <= CU_TENSOR_MAP_DATA_TYPE_16U6_ALIGN16B, "tensorDataType",
        static_cast<int>(tiled.type), "a CUtensorMapDataType");
  const bool blackwell = model.compute_capability >= 100;
  if (tiled.type > CU_TENSOR_MAP_DATA_TYPE_TFLOAT32_FTZ) {
    throw Fault(blackwell ? CUDA_ERROR_NOT_SUPPORTED : CUDA_ERROR_INVALID_VALUE,
                "tensorDataType: elements of 4 and 6 bits are not supported");
  }
  check(tiled.interleave >= 0 && tiled.interleave <= CU_TENSOR_MAP_INTERLEAVE_32B, "interleave",
        static_cast<int>(tiled.interleave), "a CUtensorMapInterleave");
  check(tiled.swizzle >= 0 && tiled.swizzle <= CU_TENSOR_MAP_SWIZZLE_128B_ATOM_64B, "swizzle",
        static_cast<int>(tiled.swizzle), "a CUtensorMapSwizzle");
  check(tiled.swizzle <= CU_TENSOR_MAP_SWIZZLE_128B || blackwell, "swizzle",
        static_cast<int>(tiled.swizzle), "atoms of 16 bytes before compute capability 10.0");
  check(tiled.promotion >= 0 && tiled.promotion <= CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
        "l2Promotion", static_cast<int>(tiled.promotion), "a CUtensorMapL2promotion");
  check(tiled.fill >= 0 && tiled.fill <= CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA,
        "oobFill", static_cast<int>(tiled.fill), "a CUtensorMapFloatOOBfill");
  check(tiled.fill == CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE ||
            is_floating(ElementType{static_cast<std::uint32_t>(tiled.type)}),
        "oobFill", static_cast<int>(tiled.fill), "no NaNs for an integer type");
}

void check_shape(const Tiled& tiled) {
  const bool plain = tiled.interleave == CU_TENSOR_MAP_INTERLEAVE_NONE;
  const std::uint32_t unit = tiled.interleave == CU_TENSOR_MAP_INTERLEAVE_32B ? 32 : 16;
  const char* const multiple = unit == 32 ? "a multiple of 32" : "a multiple of 16";
  check(tiled.rank >= (plain ? 1u : 3u) && tiled.rank <= 5, "tensorRank", tiled.rank,
        plain ? "1 to 5" : "3 to 5 with interleaving");
  check(tiled.address % unit == 0, "globalAddress", tiled.address, multiple);
  for (int d = 0; d < static_cast<int>(tiled.rank); ++d) {
    check(tiled.sizes[d] >= 1 && tiled.sizes[d] <= std::uint64_t{1} << 32, "globalDim", d,
          tiled.sizes[d], "1 to 2^32");
    check(tiled.box[d] >= 1 && tiled.box[d] <= 256, "boxDim", d, tiled.box[d], "1 to 256");
    check(tiled.steps[d] >= 1 && tiled.steps[d] <= 8, "elementStrides", d, tiled.steps[d],
          "1 to 8");
    if (d == 0) continue;
    const std::uint64_t stride = tiled.strides[d - 1];
    check(stride % unit == 0, "globalStrides", d - 1, stride, multiple);
    check(stride < std::uint64_t{1} << 40, "globalStrides", d - 1, stride, "less than 2^40");
  }
  const std::uint32_t inner =
      tiled.box[0] * bytes_of(ElementType{static_cast<std::uint32_t>(tiled.type)});
  check(inner % 16 == 0, "boxDim[0] in bytes", inner, "a multiple of 16");
  if (plain && tiled.swizzle != CU_TENSOR_MAP_SWIZZLE_NONE) {
    check(inner <= swizzle_span(Swizzle{static_cast<std::uint32_t>(tiled.swizzle)}),
          "boxDim[0] in bytes", inner, "at most the swizzle's span");
  }
}

TensorMap encode(const Tiled& tiled) {
  TensorMap map;
  std::memset(static_cast<void*>(&map), 0, sizeof map);  // what pads it is sealed too
  map.address = tiled.address;
  map.rank = static_cast<std::uint8_t>(tiled.rank);
  map.type = ElementType{static_cast<std::uint32_t>(tiled.type)};
  map.interleave = Interleave{static_cast<std::uint32_t>(tiled.interleave)};
  map.swizzle = Swizzle{static_cast<std::uint32_t>(tiled.swizzle)};
  map.fill = Fill{static_cast<std::uint32_t>(tiled.fill)};
  map.stride[0] = map.interleave == Interleave::none  ? bytes_of(map.type)
                  : map.interleave == Interleave::b16 ? 16
                                                      : 32;
  for (std::uint32_t d = 0; d < tiled.rank; ++d) {
    if (d > 0) map.stride[d] = tiled.strides[d - 1];
    map.last[d] = static_cast<std::uint32_t>(tiled.sizes[d] - 1);
    map.box[d] = static_cast<std::uint16_t>(tiled.box[d]);
    map.step[d] = static_cast<std::uint8_t>(tiled.steps[d]);
  }
  if (map.interleave == Interleave::none) {
    map.step[0] = 1;
  } else {
    map.box[tiled.rank - 2] = map.step[tiled.rank - 2] =
        1;  // of channels: one slice, as a GPU does
  }
  return map;
}

void store(CUtensorMap* tensor_map, TensorMap map) {
  map.seal = map.right_seal();
  std::memset(tensor_map, 0, sizeof *tensor_map);
  std::memcpy(tensor_map, &map, sizeof map);
}

void check_aligned(const void* tensor_map) {
  require(tensor_map != nullptr && reinterpret_cast<std::uintptr_t>(tensor_map) % 64 == 0,
          "tensorMap: expected an address that is a multiple of 64");
}

}  // namespace
}  // namespace octavo::emulator::driver

using namespace octavo::emulator;
using namespace octavo::emulator::driver;

CUresult cuTensorMapEncodeTiled(CUtensorMap* tensor_map, CUtensorMapDataType type, unsigned rank,
                                void* address, const std::uint64_t* sizes,
                                const std::uint64_t* strides, const unsigned* box,
                                const unsigned* element_strides, CUtensorMapInterleave interleave,
                                CUtensorMapSwizzle swizzle, CUtensorMapL2promotion promotion,
                                CUtensorMapFloatOOBfill fill) {
  return with_context(__func__, [&](Context& context) {
    check_aligned(tensor_map);
    require(sizes != nullptr && box != nullptr && element_strides != nullptr &&
                (strides != nullptr || rank < 2),
            "globalDim, globalStrides, boxDim, elementStrides: expected arrays");
    const Tiled tiled{type,
                      rank,
                      reinterpret_cast<std::uint64_t>(address),
                      sizes,
                      strides,
                      box,
                      element_strides,
                      interleave,
                      swizzle,
                      promotion,
                      fill};
    check_modes(context.model, tiled);
    check_shape(tiled);
    store(tensor_map, encode(tiled));
  });
}

CUresult cuTensorMapReplaceAddress(CUtensorMap* tensor_map, void* address) {
  return with_context(__func__, [&](Context&) {
    check_aligned(tensor_map);
    TensorMap map;
    std::memcpy(static_cast<void*>(&map), tensor_map, sizeof map);
    require(map.seal == map.right_seal(), "tensorMap: expected one that was encoded");
    map.address = reinterpret_cast<std::uint64_t>(address);
    check(map.address % (map.interleave == Interleave::b32 ? 32 : 16) == 0, "globalAddress",
          map.address, "the alignment that the map's interleaving needs");
    store(tensor_map, map);
  });
}
