#include "tensor_core/fragments.hpp"

#include <cstddef>
#include <cstring>

#include "tensor_core/vector.hpp"

namespace octavo::emulator::tensor_core {
namespace {

constexpr int kLanes = 32;

// Eight elements, zero-extended.
template <class T>
OCTAVO_INLINE Ints8 widen(const std::byte* elements) {
  using Narrow8 [[gnu::vector_size(8 * sizeof(T))]] = T;
  return __builtin_convertvector(load<Narrow8>(elements), Ints8);
}

OCTAVO_INLINE void transpose(Ints8 (&rows)[8]) {
  Ints8 pairs[8], fours[8];
  for (int i = 0; i < 8; i += 2) {
    pairs[i] = __builtin_shufflevector(rows[i], rows[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    pairs[i + 1] = __builtin_shufflevector(rows[i], rows[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  for (int i = 0; i < 8; i += 4)
    for (int j = 0; j < 2; ++j) {
      const Ints8 x = pairs[i + j], y = pairs[i + j + 2];
      fours[i + 2 * j] = __builtin_shufflevector(x, y, 0, 1, 8, 9, 4, 5, 12, 13);
      fours[i + 2 * j + 1] = __builtin_shufflevector(x, y, 2, 3, 10, 11, 6, 7, 14, 15);
    }
  for (int i = 0; i < 4; ++i) {
    rows[i] = __builtin_shufflevector(fours[i], fours[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    rows[i + 4] = __builtin_shufflevector(fours[i], fours[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}

// Every register of an A or B fragment is a row-major block of 8 rows of 16 bytes, over the lanes
// as they lie in memory: a row belongs to four lanes. A's registers walk down its 16 rows first,
// then along k; B's rows are its columns n, and its registers walk along k.
constexpr int kRowBytes = 16, kBlockRows = 8;

OCTAVO_INLINE const std::byte* row_of(const std::uint32_t* registers, int block, int row) {
  return reinterpret_cast<const std::byte*>(registers + block * kLanes) + row * kRowBytes;
}

constexpr int kWordBytes = 4;

template <class T>
OCTAVO_INLINE void load_narrow_rows(const std::uint32_t* a, int k, Tile* tile) {
  constexpr int kWidth = kRowBytes / sizeof(T), kStep = 8 * sizeof(T);
  for (int block = 0; block * kWidth < k; ++block)
    for (int step = 0; step < kRowBytes; step += kStep)
      for (int row = 0; row < kTileRows; ++row) {
        const std::byte* from = row_of(a, 2 * block + row / kBlockRows, row % kBlockRows) + step;
        store(&tile->a[row][block * kWidth + step / static_cast<int>(sizeof(T))], widen<T>(from));
      }
}

template <class T>
OCTAVO_INLINE void load_narrow_columns(const std::uint32_t* b, int k, Tile* tile) {
  constexpr int kWidth = kRowBytes / sizeof(T), kStep = 8 * sizeof(T);
  for (int block = 0; block * kWidth < k; ++block)
    for (int step = 0; step < kRowBytes; step += kStep) {
      Ints8 columns[8];
      for (int row = 0; row < kBlockRows; ++row)
        columns[row] = widen<T>(row_of(b, block, row) + step);
      transpose(columns);
      const int first = block * kWidth + step / static_cast<int>(sizeof(T));
      for (int i = 0; i < 8; ++i) store(tile->b[first + i], columns[i]);
    }
}

void load_word_rows(const std::uint32_t* a, int k, Tile& tile) {
  for (int block = 0; block * kWordBytes < k; ++block)
    for (int row = 0; row < kTileRows; ++row)
      std::memcpy(&tile.a[row][block * kWordBytes],
                  row_of(a, 2 * block + row / kBlockRows, row % kBlockRows), kRowBytes);
}

void load_word_columns(const std::uint32_t* b, int k, Tile& tile) {
  for (int i = 0; i < k; ++i)
    for (int row = 0; row < kBlockRows; ++row)
      std::memcpy(&tile.b[i][row], row_of(b, i / kWordBytes, row) + i % kWordBytes * kWordBytes,
                  kWordBytes);
}

// 32-bit accumulators: registers 0 and 1 are columns 2t and 2t + 1 of row g, 2 and 3 of row g + 8,
// in lane 4g + t. 16-bit ones: a register is 8 rows of 8, as in A.
OCTAVO_INLINE void load_accumulator_words(const std::uint32_t* c, Tile* tile) {
  for (int row = 0; row < kTileRows; ++row) {
    const std::uint32_t* even = c + row / 8 * 2 * kLanes + row % 8 * 4;
    store(tile->c[row], __builtin_shufflevector(load<Ints4>(even), load<Ints4>(even + kLanes), 0, 4,
                                                1, 5, 2, 6, 3, 7));
  }
}

OCTAVO_INLINE void store_accumulator_words(std::uint32_t* d, const Tile* tile) {
  for (int row = 0; row < kTileRows; ++row) {
    std::uint32_t* even = d + row / 8 * 2 * kLanes + row % 8 * 4;
    const Ints8 x = load<Ints8>(tile->c[row]);
    store(even, low_half(even_lanes(x, x)));
    store(even + kLanes, low_half(odd_lanes(x, x)));
  }
}

}  // namespace

void load_rows(const std::uint32_t* a, Element element, int k, Tile& tile) {
  switch (bytes_of(element)) {
    case 1:
      return vectorised<load_narrow_rows<std::uint8_t>>(a, k, &tile);
    case 2:
      return vectorised<load_narrow_rows<std::uint16_t>>(a, k, &tile);
    default:
      return load_word_rows(a, k, tile);
  }
}

void load_columns(const std::uint32_t* b, Element element, int k, Tile& tile) {
  switch (bytes_of(element)) {
    case 1:
      return vectorised<load_narrow_columns<std::uint8_t>>(b, k, &tile);
    case 2:
      return vectorised<load_narrow_columns<std::uint16_t>>(b, k, &tile);
    default:
      return load_word_columns(b, k, tile);
  }
}

void load_accumulator(const std::uint32_t* c, Accumulator accumulator, Tile& tile) {
  if (accumulator != Accumulator::f16) return vectorised<load_accumulator_words>(c, &tile);
  for (int i = 0; i < kTileRows * kTileColumns; ++i)
    tile.c[i / kTileColumns][i % kTileColumns] = c[i / 2] >> (16 * (i % 2)) & 0xFFFF;
}

void store_accumulator(std::uint32_t* d, Accumulator accumulator, const Tile& tile) {
  if (accumulator != Accumulator::f16) return vectorised<store_accumulator_words>(d, &tile);
  for (int i = 0; i < kTileRows * kTileColumns; i += 2) {
    const std::uint32_t* pair = &tile.c[i / kTileColumns][i % kTileColumns];
    d[i / 2] = pair[0] | pair[1] << 16;
  }
}

}  // namespace octavo::emulator::tensor_core
