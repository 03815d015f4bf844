#include "tensor_core/tile_dot.hpp"

#include <algorithm>
#include <array>

#include "tensor_core/vector.hpp"

namespace octavo::emulator::tensor_core {
namespace {

// The exponent of a zero: below all others, also when two are added.
constexpr int kZeroExponent = -1000;
// Shifts a significand to nothing.
constexpr int kMaxShift = 31;
// Products of 27 bits, of which 16 fit in an int with their sign: an 11-bit significand's square
// stays so far below 4 that their sum stays below 2^31.
constexpr int kTermsOfSum = 16;

struct Numbers8 {
  Ints8 significand;  // with its sign
  Ints8 exponent;
  Ints8 special;  // -1 where it is NaN or infinite
};

// Significands get `fraction_bits`, at least as many as the format has. `normalise` gives
// subnormals their own exponents.
OCTAVO_INLINE Numbers8 decode(const Format& format, int fraction_bits, bool normalise, Ints8 bits) {
  const int highest = static_cast<int>((1u << (format.bits - 1)) - 1);  // without the sign
  const int one = 1 << format.fraction_bits;
  const int infinity = highest & ~(one - 1);
  bits &= ~((1 << format.ignored_bits) - 1);
  const Ints8 magnitude = bits & highest;
  const Ints8 field = magnitude >> format.fraction_bits;
  Ints8 significand = (magnitude & (one - 1)) | ((field > 0) & one);
  Ints8 exponent = max(field, splat(1)) - format.bias;
  if (normalise) {
    const Ints8 value = bits_of<Ints8>(__builtin_convertvector(significand, Floats8));
    exponent += (value >> 23) - (127 + format.fraction_bits);
    significand = ((value & 0x7FFFFF) | 0x800000) >> (23 - fraction_bits);
  } else if (fraction_bits < format.fraction_bits) {
    significand >>= format.fraction_bits - fraction_bits;
  } else {
    significand <<= fraction_bits - format.fraction_bits;
  }
  exponent = choose(magnitude == 0, splat(kZeroExponent), exponent);
  significand = choose(magnitude == 0, Ints8{}, significand);
  const Ints8 special = format.has_infinity ? magnitude >= infinity : magnitude == highest;
  const Ints8 negative = (bits & ~highest) != 0;
  return {(significand ^ negative) - negative, exponent, special};
}

// The first two of every four, then the others.
OCTAVO_INLINE Ints8 halves_of_fours(Ints8 x) {
  return __builtin_shufflevector(x, x, 0, 1, 4, 5, 2, 3, 6, 7);
}

// The place of element k when unpacked fp8 is split in two halves.
constexpr int unpacked_place(int k, int count) {
  return (k & 2 ? count / 2 : 0) + k / 4 * 2 + (k & 1);
}

// Formats whose products are all exact and normal in fp32: they are multiplied there, and truncated
// as they become integers. Others are multiplied as significands and shifted.
constexpr bool multiplies_in_fp32(Element element) {
  return element != Element::bf16 && element != Element::tf32;
}

// Of the operand with so many of the product's fraction bits: the numbers in fp32, or their
// significands with their signs.
OCTAVO_INLINE Numbers8 decode(const DotModel& model, Element element, int fraction_bits,
                              Ints8 bits) {
  // e4m3's subnormals are normal numbers in fp16; e5m2's are not.
  const bool normalise = model.unpacked_fp8 && element == Element::e4m3;
  Numbers8 numbers = decode(format_of(element), fraction_bits, normalise, bits);
  if (!multiplies_in_fp32(element)) return numbers;
  const Ints8 unit = max(numbers.exponent - fraction_bits, splat(-126));
  const auto value =
      __builtin_convertvector(numbers.significand, Floats8) * bits_of<Floats8>((unit + 127) << 23);
  numbers.significand = bits_of<Ints8>(value);
  return numbers;
}

constexpr int a_fraction_bits(const DotModel& model) { return model.fraction_bits / 2; }
constexpr int b_fraction_bits(const DotModel& model) {
  return model.fraction_bits - a_fraction_bits(model);
}

OCTAVO_INLINE void decode_a(const DotModel* model, Element a, int k, const Tile* tile,
                            TileRows* rows) {
  Ints8 special{};
  for (int row = 0; row < kTileRows; ++row)
    for (int i = 0; i < k; i += 8) {
      const Numbers8 numbers =
          decode(*model, a, a_fraction_bits(*model), load<Ints8>(&tile->a[row][i]));
      special |= numbers.special;
      if (model->unpacked_fp8) {
        const Ints8 significand = halves_of_fours(numbers.significand);
        const Ints8 exponent = halves_of_fours(numbers.exponent);
        const int first = i / 2, second = k / 2 + i / 2;
        store(&rows->significand[row][first], low_half(significand));
        store(&rows->significand[row][second], high_half(significand));
        store(&rows->exponent[row][first], low_half(exponent));
        store(&rows->exponent[row][second], high_half(exponent));
      } else {
        store(&rows->significand[row][i], numbers.significand);
        store(&rows->exponent[row][i], numbers.exponent);
      }
    }
  rows->finite = !any(special);
}

struct alignas(32) Columns {
  int significand[kTileMaxK][kTileColumns], exponent[kTileMaxK][kTileColumns];
};

// False if there is a NaN or an infinity among them.
OCTAVO_INLINE bool decode_b(const DotModel& model, Element b, int k, const Tile& tile,
                            Columns& columns) {
  Ints8 special{};
  for (int i = 0; i < k; ++i) {
    const Numbers8 numbers = decode(model, b, b_fraction_bits(model), load<Ints8>(tile.b[i]));
    special |= numbers.special;
    const int place = model.unpacked_fp8 ? unpacked_place(i, k) : i;
    store(columns.significand[place], numbers.significand);
    store(columns.exponent[place], numbers.exponent);
  }
  return !any(special);
}

// |x| >> shift, with the sign of x.
OCTAVO_INLINE Ints8 truncated(Ints8 x, Ints8 shift) {
  const Ints8 negative = x >> 31;
  const Ints8 magnitude = ((x ^ negative) - negative) >> min(shift, splat(kMaxShift));
  return (magnitude ^ negative) - negative;
}

// An exact sum of eight outputs, as integers of up to 35 bits in doubles, in units of
// 2^(scale - fraction_bits).
struct Sum8 {
  Doubles4 low{}, high{};

  OCTAVO_INLINE void add(Ints8 terms) {
    low += __builtin_convertvector(low_half(terms), Doubles4);
    high += __builtin_convertvector(high_half(terms), Doubles4);
  }
};

// What a nonzero double is made of.
struct Parts8 {
  Ints8 sign;         // 0 or the sign bit
  Ints8 exponent;     // floor(log2)
  Ints8 significand;  // its upper 24 bits
  Ints8 rest;         // nonzero where the bits below are
  Ints8 zero;         // -1 where the double is 0
};

OCTAVO_INLINE Parts8 take_apart(const Sum8& sum) {
  const Ints8 low = bits_of<Ints8>(sum.low), high = bits_of<Ints8>(sum.high);
  const Ints8 lower = even_lanes(low, high), upper = odd_lanes(low, high);
  const Ints8 fraction = ((upper & 0xFFFFF) << 3) | ((lower >> 29) & 7);
  return {upper & splat(INT32_MIN), ((upper >> 20) & 0x7FF) - 1023, fraction | 0x800000,
          lower & 0x1FFFFFFF, (upper & INT32_MAX) == 0};
}

// As encode() of number.hpp, for eight.
OCTAVO_INLINE Ints8 encode_fp32(const Sum8& sum, Ints8 unit_exponent, int mask) {
  const Parts8 parts = take_apart(sum);
  const Ints8 exponent = parts.exponent + unit_exponent;
  const Ints8 normal = ((exponent + 127) << 23) | (parts.significand & 0x7FFFFF);
  const Ints8 subnormal =
      parts.significand >> min(max(splat(-126) - exponent, Ints8{}), splat(kMaxShift));
  Ints8 magnitude = choose(exponent < -126, subnormal, normal) & mask;
  magnitude = choose(exponent > 127, splat(0x7F800000), magnitude);
  return choose(parts.zero | (magnitude == 0), Ints8{}, magnitude | parts.sign);
}

OCTAVO_INLINE Ints8 encode_fp16(const Sum8& sum, Ints8 unit_exponent) {
  const Parts8 parts = take_apart(sum);
  const Ints8 exponent = parts.exponent + unit_exponent;
  const Ints8 kept = max(exponent, splat(-14));
  // One bit more than the significand says whether there is anything below it.
  const Ints8 exact = (parts.significand << 1) | ((parts.rest != 0) & 1);
  const Ints8 shift = min(kept - exponent + 14, splat(30));
  const Ints8 quotient = exact >> shift;
  const Ints8 rest = exact - (quotient << shift), half = splat(1) << (shift - 1);
  const Ints8 up = (rest > half) | ((rest == half) & ((quotient & 1) != 0));
  const Ints8 magnitude = min(((kept + 14) << 10) + quotient - up, splat(0x7C00));
  const Ints8 sign = (parts.sign >> 16) & 0x8000;
  return choose(parts.zero | (magnitude == 0), Ints8{}, magnitude | sign);
}

OCTAVO_INLINE Ints8 encode(Rounding rounding, const Sum8& sum, Ints8 unit_exponent) {
  switch (rounding) {
    case Rounding::rz_fp32:
      return encode_fp32(sum, unit_exponent, -1);
    case Rounding::rz_e8m13:
      return encode_fp32(sum, unit_exponent, ~0x3FF);
    case Rounding::rne_fp16:
      return encode_fp16(sum, unit_exponent);
  }
  return Ints8{};
}

// Where c is NaN or infinite so is d, the products being finite.
OCTAVO_INLINE Ints8 keep_special(Accumulator accumulator, Ints8 c, Ints8 d) {
  const bool f16 = accumulator == Accumulator::f16;
  const int infinity = f16 ? 0x7C00 : 0x7F800000, nan = f16 ? 0x7FFF : 0x7FFFFFFF;
  const Ints8 magnitude = c & nan;
  d = choose(magnitude == infinity, c, d);
  return choose(magnitude > infinity, splat(nan), d);
}

// The products of one row's element k, truncated, in units of 2^(scale - fraction_bits).
template <bool kInFp32>
OCTAVO_INLINE Ints8 terms_of(const TileRows& rows, int row, const Columns& columns, int k,
                             Ints8 scale, Floats8 inverse_unit) {
  if constexpr (kInFp32) {
    const Floats8 a = bits_of<Floats8>(splat(rows.significand[row][k]));
    // A scaled product that underflows is far below one.
    return __builtin_convertvector(load<Floats8>(columns.significand[k]) * a * inverse_unit, Ints8);
  }
  const Ints8 product = load<Ints8>(columns.significand[k]) * splat(rows.significand[row][k]);
  return truncated(product,
                   scale - splat(rows.exponent[row][k]) - load<Ints8>(columns.exponent[k]));
}

// One row of the tile over the elements k from begin to end, which are one block of the model's.
template <bool kInFp32>
OCTAVO_INLINE Ints8 row_block(const DotModel& model, Accumulator accumulator, const TileRows& rows,
                              int row, const Columns& columns, int begin, int end, Ints8 c_bits) {
  const Numbers8 c =
      decode(accumulator == Accumulator::f16 ? kF16 : kF32, model.fraction_bits, false, c_bits);
  Ints8 scale = max(c.exponent, splat(model.lowest_exponent));
  for (int k = begin; k < end; ++k)
    scale = max(scale, load<Ints8>(columns.exponent[k]) + splat(rows.exponent[row][k]));
  // Where this is out of fp32's range, all products are zeros.
  const Ints8 inverse_exponent = min(model.fraction_bits - scale, splat(127));
  const auto inverse_unit = bits_of<Floats8>((inverse_exponent + 127) << 23);

  Sum8 sum;
  sum.add(truncated(c.significand, scale - c.exponent));
  for (int first = begin; first < end; first += kTermsOfSum) {
    Ints8 terms{};
    for (int k = first; k < std::min(first + kTermsOfSum, end); ++k)
      terms += terms_of<kInFp32>(rows, row, columns, k, scale, inverse_unit);
    sum.add(terms);
  }
  const Ints8 d = encode(model.rounding(accumulator), sum, scale - model.fraction_bits);
  return keep_special(accumulator, c_bits, d);
}

// c + d in the accumulator's format.
OCTAVO_INLINE void add_rows(Accumulator accumulator, Ints8 c, std::uint32_t* d) {
  if (accumulator == Accumulator::f32) {
    const Floats8 sum = bits_of<Floats8>(c) + load<Floats8>(d);
    // NOLINTNEXTLINE(misc-redundant-expression): not a NaN
    store(d, choose(sum == sum, bits_of<Ints8>(sum), splat(0x7FFFFFFF)));
    return;
  }
  for (int column = 0; column < kTileColumns; ++column)
    d[column] = rounded_sum(accumulator, static_cast<std::uint32_t>(c[column]), d[column]);
}

// False, with the tile as it was, if there is a NaN or an infinity among the columns.
template <bool kInFp32>
OCTAVO_INLINE void finite_tile_dot(const DotModel* model, Accumulator accumulator,
                                   const TileRows* rows, Element b, int k, Tile* tile,
                                   bool* finite) {
  Columns columns;
  *finite = decode_b(*model, b, k, *tile, columns);
  if (!*finite) return;
  // The halves of unpacked fp8 are blocks of their own, of half of k at most.
  const int length = model->unpacked_fp8 ? std::min(model->length, k / 2) : model->length;
  for (int row = 0; row < kTileRows; ++row) {
    const Ints8 c = load<Ints8>(tile->c[row]);
    Ints8 d = model->unpacked_fp8 ? Ints8{} : c;
    for (int begin = 0; begin < k; begin += length)
      d = row_block<kInFp32>(*model, accumulator, *rows, row, columns, begin,
                             std::min(begin + length, k), d);
    store(tile->c[row], d);
    if (model->unpacked_fp8) add_rows(accumulator, c, tile->c[row]);
  }
}

}  // namespace

void scalar_tile_dot(const DotModel& model, Accumulator accumulator, Element a, Element b, int k,
                     Tile& tile) {
  const auto length = static_cast<std::size_t>(k);
  for (int column = 0; column < kTileColumns; ++column) {
    std::array<std::uint32_t, kTileMaxK> b_column;
    for (std::size_t i = 0; i < length; ++i) b_column[i] = tile.b[i][column];
    for (int row = 0; row < kTileRows; ++row)
      tile.c[row][column] = fused_dot(model, accumulator, {a, {tile.a[row], length}},
                                      {b, {b_column.data(), length}}, tile.c[row][column]);
  }
}

TileRows decode_rows(const DotModel& model, Element a, int k, const Tile& tile) {
  TileRows rows;
  vectorised<decode_a>(&model, a, k, &tile, &rows);
  return rows;
}

void tile_dot(const DotModel& model, Accumulator accumulator, Element a, const TileRows& rows,
              Element b, int k, Tile& tile) {
  bool finite = rows.finite;
  if (finite) {
    if (multiplies_in_fp32(a)) {
      vectorised<finite_tile_dot<true>>(&model, accumulator, &rows, b, k, &tile, &finite);
    } else {
      vectorised<finite_tile_dot<false>>(&model, accumulator, &rows, b, k, &tile, &finite);
    }
  }
  if (!finite) scalar_tile_dot(model, accumulator, a, b, k, tile);
}

void integer_tile_dot(Element a, Element b, int k, bool saturate, Tile& tile) {
  const auto extend = [](Element element, std::uint32_t bits) {
    return element == Element::s8 ? static_cast<std::int8_t>(bits) : static_cast<int>(bits);
  };
  for (int row = 0; row < kTileRows; ++row) {
    int products[kTileColumns] = {};
    for (int i = 0; i < k; ++i)
      for (int column = 0; column < kTileColumns; ++column)
        products[column] += extend(a, tile.a[row][i]) * extend(b, tile.b[i][column]);
    for (int column = 0; column < kTileColumns; ++column) {
      std::uint32_t& c = tile.c[row][column];
      std::int64_t sum = std::int64_t{static_cast<std::int32_t>(c)} + products[column];
      if (saturate) sum = std::clamp<std::int64_t>(sum, INT32_MIN, INT32_MAX);
      c = static_cast<std::uint32_t>(sum);
    }
  }
}

}  // namespace octavo::emulator::tensor_core
