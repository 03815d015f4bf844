#include "tools/reference/formats.hpp"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace octavo::reference {
namespace {

struct Format {
  int bytes;
  int mantissa_bits;
  int min_exponent;          // of a normal value
  std::uint32_t max_finite;  // code of the largest finite value
  std::uint32_t overflow;    // code that a larger one becomes
  std::uint32_t infinity;    // code of infinity; e4m3 has none, so that of its only NaN
  std::uint32_t nan;
};

constexpr Format kE4m3{1, 3, -6, 0x7E, 0x7E, 0x7F, 0x7F};
constexpr Format kE5m2{1, 2, -14, 0x7B, 0x7B, 0x7C, 0x7F};
constexpr Format kBf16{2, 7, -126, 0x7F7F, 0x7F80, 0x7F80, 0x7FFF};
constexpr Format kFp16{2, 10, -14, 0x7BFF, 0x7C00, 0x7C00, 0x7FFF};
constexpr Format kFp32{4, 23, -126, 0x7F7FFFFF, 0x7F800000, 0x7F800000, 0x7FFFFFFF};

// Calls `function` with the format as a constant, so that loops over elements are specialised.
template <typename Function>
auto with_format(DataType type, Function function) {
  switch (type) {
    case DataType::e4m3:
      return function.template operator()<kE4m3>();
    case DataType::e5m2:
      return function.template operator()<kE5m2>();
    case DataType::bf16:
      return function.template operator()<kBf16>();
    case DataType::fp16:
      return function.template operator()<kFp16>();
    case DataType::fp32:
      break;
  }
  return function.template operator()<kFp32>();
}

double power_of_two(int exponent) {  // of a normal double
  return std::bit_cast<double>(static_cast<std::uint64_t>(1023 + exponent) << 52);
}

template <Format format>
std::uint32_t encode_as(double value) {
  constexpr std::uint64_t kHidden = std::uint64_t{1} << 52;
  constexpr std::uint32_t kSignBit = 1u << (8 * format.bytes - 1);
  const auto bits = std::bit_cast<std::uint64_t>(value);
  const std::uint32_t sign = bits >> 63 ? kSignBit : 0;
  const std::uint64_t magnitude = bits & ~(std::uint64_t{1} << 63);
  if (std::isnan(value)) return format.nan;
  if (std::isinf(value)) return sign | format.overflow;

  const int exponent = static_cast<int>(magnitude >> 52) - 1023;
  const std::uint64_t significand = (magnitude & (kHidden - 1)) | kHidden;
  // Low bits that the format has no room for; a value under its normal range loses more.
  const int below = exponent < format.min_exponent ? format.min_exponent - exponent : 0;
  const int drop = 52 - format.mantissa_bits + below;
  if (drop > 53) return sign;  // under half of the smallest subnormal (or a double's own subnormal)
  const std::uint64_t half = std::uint64_t{1} << (drop - 1);
  const std::uint64_t rounded = (significand + half - 1 + ((significand >> drop) & 1)) >> drop;
  // A carry out of the mantissa moves into the exponent field by itself.
  const auto biased = static_cast<std::uint64_t>(exponent + below - format.min_exponent);
  const std::uint64_t code = (biased << format.mantissa_bits) + rounded;
  return sign | (code > format.max_finite ? format.overflow : static_cast<std::uint32_t>(code));
}

template <Format format>
double decode_as(std::uint32_t code) {
  constexpr std::uint32_t kSignBit = 1u << (8 * format.bytes - 1);
  constexpr std::uint32_t kHidden = 1u << format.mantissa_bits;
  const std::uint32_t magnitude = code & (kSignBit - 1);
  const double sign = code & kSignBit ? -1.0 : 1.0;
  if (magnitude > format.max_finite) {
    if (format.infinity != format.nan && magnitude == format.infinity)
      return sign * std::numeric_limits<double>::infinity();
    return std::numeric_limits<double>::quiet_NaN();
  }
  const std::uint32_t mantissa = magnitude & (kHidden - 1);
  const int field = static_cast<int>(magnitude >> format.mantissa_bits);
  const int exponent = (field ? field - 1 : 0) + format.min_exponent - format.mantissa_bits;
  return sign * static_cast<double>(field ? mantissa | kHidden : mantissa) * power_of_two(exponent);
}

template <Format format>
double load_as(const std::byte* data, std::size_t index) {
  std::uint32_t code = 0;  // little-endian, as every host and GPU that Octavo runs on
  std::memcpy(&code, data + index * format.bytes, format.bytes);
  return decode_as<format>(code);
}

}  // namespace

std::uint32_t encode(DataType type, double value) {
  return with_format(type, [=]<Format format>() { return encode_as<format>(value); });
}

double decode(DataType type, std::uint32_t code) {
  return with_format(type, [=]<Format format>() { return decode_as<format>(code); });
}

double largest(DataType type) {
  return with_format(type, []<Format format>() { return decode_as<format>(format.max_finite); });
}

DataType multiplied_type(Matmul matmul) {
  switch (matmul) {
    case Matmul::fp8:
      return DataType::e4m3;
    case Matmul::fp16:
      return DataType::fp16;
    case Matmul::bf16:
      break;
  }
  return DataType::bf16;
}

double rounding_error(DataType type) {
  return with_format(type, []<Format format>() { return power_of_two(-format.mantissa_bits - 1); });
}

void store(DataType type, std::byte* data, std::size_t index, double value) {
  with_format(type, [=]<Format format>() {
    const std::uint32_t code = encode_as<format>(value);
    std::memcpy(data + index * format.bytes, &code, format.bytes);
  });
}

double load(DataType type, const std::byte* data, std::size_t index) {
  return with_format(type, [=]<Format format>() { return load_as<format>(data, index); });
}

void load(DataType type, const std::byte* data, std::size_t index, std::span<double> out) {
  with_format(type, [=]<Format format>() {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = load_as<format>(data, index + i);
  });
}

}  // namespace octavo::reference
