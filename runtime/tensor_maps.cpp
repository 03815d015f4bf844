#include "runtime/tensor_maps.hpp"

#include <fmt/format.h>

#include <bit>

namespace octavo {
namespace {

// Rows of `row_bytes` bytes, of which boxes of so many bytes and rows are copied.
TensorMap map_rows(const Driver& driver, DeviceAddress first, int row_bytes, std::uint64_t rows,
                   int box_bytes, int box_rows) {
  const std::uint64_t sizes[] = {static_cast<std::uint64_t>(row_bytes), rows};
  const std::uint64_t strides[] = {sizes[0]};
  const unsigned box[] = {static_cast<unsigned>(box_bytes), static_cast<unsigned>(box_rows)};
  const unsigned every[] = {1, 1};
  const CUtensorMapSwizzle swizzle = box_bytes == 128  ? CU_TENSOR_MAP_SWIZZLE_128B
                                     : box_bytes == 64 ? CU_TENSOR_MAP_SWIZZLE_64B
                                                       : CU_TENSOR_MAP_SWIZZLE_32B;
  CUtensorMap map;
  driver.check(driver.cuTensorMapEncodeTiled(
                   &map, CU_TENSOR_MAP_DATA_TYPE_UINT8, 2, reinterpret_cast<void*>(first), sizes,
                   strides, box, every, CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle,
                   CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
               fmt::format("making a tensor map of rows of {} bytes at {:#x}", row_bytes, first));
  return std::bit_cast<TensorMap>(map);
}

}  // namespace

PrefillKernelArguments with_maps(const Driver& driver, const Plan& plan,
                                 const PrefillArguments& arguments) {
  PrefillKernelArguments all{arguments, {}, {}, 0, 0};
  const Boxes& boxes = plan.boxes;
  if (boxes.rows == 0) return all;
  const Spec& spec = plan.spec;
  const KvCache& cache = arguments.cache;
  std::uint64_t rows = std::uint64_t{1} << 31;
  if (spec.kv_cache.layout == Layout::contiguous) {
    rows = static_cast<std::uint64_t>(arguments.batch.sequences) *
           static_cast<std::uint64_t>(spec.attention.kv_heads) *
           static_cast<std::uint64_t>(cache.capacity);
  }
  const int bytes = bytes_of(spec.kv_cache.format);
  const HeadDim& dim = spec.attention.head_dim;
  all.k_map = map_rows(driver, cache.k, dim.qk * bytes, rows, boxes.k_bytes, boxes.rows);
  all.v_map = map_rows(driver, cache.v, dim.v * bytes, rows, boxes.v_bytes, boxes.rows);
  return all;
}

}  // namespace octavo
