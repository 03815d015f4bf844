// cp.async.bulk.tensor and its relatives, in tile mode.
#include <fmt/core.h>
#include <xxhash.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

#include "execute/access.hpp"
#include "execute/bulk_copy.hpp"
#include "execute/cluster.hpp"
#include "execute/helpers.hpp"
#include "execute/tensor_map.hpp"

namespace octavo::emulator {
namespace {

// A box of a tensor at these coordinates.
struct Box {
  TensorMap map;
  std::int64_t first[kMostDimensions] = {};

  std::int64_t coordinate(int dimension, std::uint32_t index) const {
    return first[dimension] + std::int64_t{index} * map.step[dimension];
  }
  bool inside(int dimension, std::uint32_t index) const {
    const std::int64_t c = coordinate(dimension, index);
    return c >= 0 && c <= map.last[dimension];
  }
  // The run of indices that are inside the tensor.
  std::pair<std::uint32_t, std::uint32_t> clip(int dimension) const {
    std::uint32_t begin = 0, end = map.count(dimension);
    while (begin < end && !inside(dimension, begin)) ++begin;
    while (end > begin && !inside(dimension, end - 1)) --end;
    return {begin, end};
  }
  std::uint64_t offset(int dimension, std::uint32_t index) const {
    return static_cast<std::uint64_t>(coordinate(dimension, index)) * map.stride[dimension];
  }

  // Visits what lies together of the box's part inside the tensor: visit(address, offset in the
  // box, bytes). Runs end at multiples of `granule` bytes.
  template <typename Visit>
  void for_runs(std::uint32_t granule, Visit&& visit) const {
    const auto [begin, end] = clip(0);
    const std::uint32_t unit = map.unit(), run = map.step[0] == 1 ? end - begin : 1;
    const std::uint32_t bytes = (run * unit + granule - 1) / granule * granule;
    std::uint32_t index[kMostDimensions] = {};
    for (std::size_t row = 0;; ++row) {
      std::uint64_t address = map.address;
      bool exists = true;
      for (int d = 1; d < map.rank; ++d) {
        exists = exists && inside(d, index[d]);
        address += offset(d, index[d]);
      }
      for (std::uint32_t i = begin; exists && i < end; i += run) {
        visit(address + offset(0, i), row * map.row_bytes() + i * unit, bytes);
      }
      int d = 1;
      while (d < map.rank && ++index[d] == map.count(d)) index[d++] = 0;
      if (d >= map.rank) return;
    }
  }
};

// Visits what lies together of a box in shared memory: visit(offset in the box, address, bytes).
template <typename Visit>
void for_chunks(const TensorMap& map, std::uint32_t address, Visit&& visit) {
  const std::uint32_t row_bytes = map.row_bytes(), pitch = map.pitch();
  const auto rows = static_cast<std::uint32_t>(map.rows());
  if (map.swizzle == Swizzle::none) return visit(0u, address, rows * row_bytes);
  const std::uint32_t step = map.swizzle == Swizzle::b128_b32_flip_8 ? 8 : 16;
  for (std::uint32_t row = 0; row < rows; ++row) {
    for (std::uint32_t i = 0; i < row_bytes; i += step) {
      visit(row * row_bytes + i, swizzle(map.swizzle, address + row * pitch + i), step);
    }
  }
}

// What follows is an H100's doing, where the ISA does not say.

// Fills what lies outside the tensor with NaNs, of 16 bits and of 32.
constexpr std::uint32_t kOutsideNans = 0x7FF77FF7;
// A row is stored to the end of the 16 bytes in which the tensor's row ends.
constexpr std::uint32_t kStoreGranule = 16;

// Elements of tf32 are rounded to nearest even as they are loaded.
void round_tf32(std::byte* data, std::uint32_t bytes) {
  for (std::uint32_t i = 0; i < bytes; i += 4) {
    std::uint32_t x;
    std::memcpy(&x, data + i, sizeof x);
    const bool nan = (x & 0x7FFFFFFF) > 0x7F800000;
    x = nan ? 0x7FFFE000 : (x + 0xFFF + (x >> 13 & 1)) & 0xFFFFE000;
    std::memcpy(data + i, &x, sizeof x);
  }
}

class TensorCopy final : public BulkOperation {
 public:
  TensorCopy(const Warp& issuing, int lane, const Box& box, std::byte* window,
             std::uint32_t address, bool load, Combine combine, std::byte* signalled)
      : BulkOperation(issuing, lane, static_cast<std::uint32_t>(box.map.bytes()), signalled),
        box_(box),
        window_(window),
        address_(address),
        load_(load),
        combine_(combine) {
    auto& ranges = load ? writes : reads;
    for_chunks(box.map, address, [&](std::uint32_t, std::uint32_t at, std::uint32_t bytes) {
      if (!ranges.empty() && ranges.back().begin + ranges.back().bytes == window + at) {
        ranges.back().bytes += bytes;
      } else {
        ranges.push_back({window + at, bytes});
      }
    });
  }

 private:
  void gather(std::byte* data) override {
    if (load_) return gather_tensor(data);
    for_chunks(box_.map, address_, [&](std::uint32_t i, std::uint32_t at, std::uint32_t bytes) {
      std::memcpy(data + i, window_ + at, bytes);
    });
  }

  void scatter(const std::byte* data) override {
    if (!load_) return scatter_tensor(data);
    for_chunks(box_.map, address_, [&](std::uint32_t i, std::uint32_t at, std::uint32_t bytes) {
      std::memcpy(window_ + at, data + i, bytes);
    });
  }

  void gather_tensor(std::byte* data) const {
    const std::uint32_t nans = box_.map.fill == Fill::nan ? kOutsideNans : 0;
    const std::uint64_t size = box_.map.bytes();
    for (std::uint64_t i = 0; i < size; i += sizeof nans) std::memcpy(data + i, &nans, sizeof nans);
    box_.for_runs(1, [&](std::uint64_t address, std::size_t at, std::uint32_t bytes) {
      std::memcpy(data + at, reinterpret_cast<const std::byte*>(address), bytes);
      const ElementType type = box_.map.type;
      if (type == ElementType::tf32 || type == ElementType::tf32_ftz) round_tf32(data + at, bytes);
    });
  }

  void scatter_tensor(const std::byte* data) const {
    box_.for_runs(kStoreGranule, [&](std::uint64_t address, std::size_t at, std::uint32_t bytes) {
      auto* to = reinterpret_cast<std::byte*>(address);
      if (combine_ == nullptr) {
        std::memcpy(to, data + at, bytes);
      } else {
        combine_(to, data + at, bytes);
      }
    });
  }

  Box box_;
  std::byte* window_;  // of the block's shared addresses
  std::uint32_t address_;
  bool load_;
  Combine combine_;
};

// The map at a lane's generic address; where it is nonsense, the launch ends.
TensorMap read_map(Warp& warp, int lane, std::uint64_t address, int dimensions) {
  const std::byte* at = resolve_generic(warp, lane, address, kTensorMapBytes, 64, Access::read);
  TensorMap map;
  std::memcpy(&map, at, sizeof map);
  if (map.seal != map.right_seal()) {
    fault(warp, CUDA_ERROR_ILLEGAL_INSTRUCTION, lane,
          "no tensor map at 0x%llx: cuTensorMapEncodeTiled makes them",
          static_cast<unsigned long long>(address));
  }
  if (map.rank != dimensions) {
    fault(warp, CUDA_ERROR_ILLEGAL_INSTRUCTION, lane, "the tensor map at 0x%llx has %d dimensions",
          static_cast<unsigned long long>(address), map.rank);
  }
  return map;
}

// What the box touches of global memory is one allocation's.
void check_box(Warp& warp, int lane, const Box& box, std::uint32_t granule) {
  std::uint64_t low = box.map.address, high = low + box.map.unit();
  for (int d = 0; d < box.map.rank; ++d) {
    const auto [begin, end] = box.clip(d);
    if (begin == end) return;
    low += box.offset(d, begin);
    high += box.offset(d, end - 1);
  }
  high = (high + granule - 1) / granule * granule;  // rows begin at multiples of 16
  if (find_range(warp, low, high) != nullptr) return;
  fault(warp, lane, [&] {
    return fmt::format("the box of the tensor is {} bytes at 0x{:x}: {}", high - low, low,
                       warp.block->launch->memory->describe(low, high - low));
  });
}

Box make_box(Warp& warp, int lane, std::uint64_t map, int dimensions,
             const std::int32_t* coordinates, std::uint32_t granule) {
  Box box{read_map(warp, lane, map, dimensions), {}};
  for (int d = 0; d < dimensions; ++d) box.first[d] = coordinates[d * kLanes + lane];
  const std::int64_t begin = box.first[0] * static_cast<std::int64_t>(box.map.unit());
  if (begin % 16 != 0) {
    fault(warp, CUDA_ERROR_ILLEGAL_INSTRUCTION, lane,
          "the box begins %lld bytes into the innermost dimension, not a multiple of 16",
          static_cast<long long>(begin));
  }
  check_box(warp, lane, box, granule);
  return box;
}

constexpr std::uint32_t kTileAlignment = 128;

// Of shared memory.
std::uint32_t tile_bytes(Warp& warp, int lane, const TensorMap& map) {
  const std::uint64_t bytes = map.rows() * map.pitch();
  if (bytes > warp.block->launch->shared_bytes()) {
    fault(warp, CUDA_ERROR_ILLEGAL_ADDRESS, lane, "a box of %llu bytes: more than shared memory",
          static_cast<unsigned long long>(bytes));
  }
  return static_cast<std::uint32_t>(bytes);
}

}  // namespace

std::uint64_t TensorMap::right_seal() const {
  return XXH3_64bits(&address, sizeof *this - offsetof(TensorMap, address)) ^ 1;
}

std::uint64_t TensorMap::rows() const {
  std::uint64_t all = 1;
  for (int d = 1; d < rank; ++d) all *= count(d);
  return all;
}

std::uint32_t TensorMap::pitch() const {
  return interleave == Interleave::none ? std::max(row_bytes(), swizzle_span(swizzle))
                                        : row_bytes();
}

static void octavo_tensor_load(Warp* warp, std::uint32_t mask, std::uint32_t window,
                               const std::uint64_t* to, const std::uint64_t* map,
                               std::uint32_t dimensions, const std::int32_t* coordinates,
                               const std::uint64_t* mbarrier, const std::uint16_t* cta_mask) {
  for_lanes(mask, [&](int lane) {
    const Box box = make_box(*warp, lane, map[lane], static_cast<int>(dimensions), coordinates, 1);
    std::byte* target = resolve_window(*warp, lane, to[lane], tile_bytes(*warp, lane, box.map),
                                       kTileAlignment, SharedWindow{window});
    std::byte* signal = resolve_signal(*warp, lane, mbarrier[lane], SharedWindow{window}, target);
    for_destinations(
        *warp, lane, cta_mask, target, signal, [&](std::byte* at, std::byte* signalled) {
          const Cluster& cluster = *warp->block->cluster;
          std::byte* base = cluster.blocks[rank_of(cluster, at)].window();
          issue(*warp, std::make_unique<TensorCopy>(*warp, lane, box, base,
                                                    static_cast<std::uint32_t>(at - base), true,
                                                    nullptr, signalled));
        });
  });
}

static void octavo_tensor_store(Warp* warp, std::uint32_t mask, const std::uint64_t* map,
                                std::uint32_t dimensions, const std::int32_t* coordinates,
                                const std::uint64_t* from, std::uint32_t reduction) {
  for_lanes(mask, [&](int lane) {
    const Box box =
        make_box(*warp, lane, map[lane], static_cast<int>(dimensions), coordinates, kStoreGranule);
    for (int d = 0; d < box.map.rank; ++d) {
      if (box.first[d] < 0) {
        fault(*warp, CUDA_ERROR_ILLEGAL_INSTRUCTION, lane, "coordinate %lld of a store",
              static_cast<long long>(box.first[d]));
      }
    }
    const Combine combine = find_combine(Reduction{reduction}, box.map.type, false);
    if (Reduction{reduction} != Reduction::none && combine == nullptr) {
      fault(*warp, CUDA_ERROR_ILLEGAL_INSTRUCTION, lane,
            "no such reduction of the tensor map's element type");
    }
    const std::byte* source =
        resolve_shared(*warp, lane, from[lane], tile_bytes(*warp, lane, box.map), kTileAlignment);
    std::byte* base = warp->block->window();
    issue(*warp, std::make_unique<TensorCopy>(*warp, lane, box, base,
                                              static_cast<std::uint32_t>(source - base), false,
                                              combine, nullptr));
  });
}

// Hints, but of a tensor map that must be one, and of memory that must be there.
static void octavo_tensor_prefetch(Warp* warp, std::uint32_t mask, const std::uint64_t* map,
                                   std::uint32_t dimensions, const std::int32_t* coordinates) {
  for_lanes(mask, [&](int lane) {
    make_box(*warp, lane, map[lane], static_cast<int>(dimensions), coordinates, 1);
  });
}

std::span<const Helper> tensor_copy_helpers() {
  static const Helper list[] = {OCTAVO_HELPER(octavo_tensor_load),
                                OCTAVO_HELPER(octavo_tensor_store),
                                OCTAVO_HELPER(octavo_tensor_prefetch)};
  return list;
}

}  // namespace octavo::emulator
