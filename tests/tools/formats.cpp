#include "tools/reference/formats.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

using namespace octavo;
using namespace octavo::reference;

TEST_CASE("every 8- and 16-bit code comes back from its value") {
  for (const DataType type : {DataType::e4m3, DataType::e5m2, DataType::bf16, DataType::fp16}) {
    const double top = largest(type);
    for (std::uint32_t code = 0; code < (1u << 8 * bytes_of(type)); ++code) {
      const double value = decode(type, code);
      if (std::isfinite(value)) {
        REQUIRE(encode(type, value) == code);
        REQUIRE(std::abs(value) <= top);
      }
    }
  }
}

TEST_CASE("codes have the values that the formats define") {
  CHECK(decode(DataType::e4m3, 0x38) == 1);
  CHECK(decode(DataType::e4m3, 0x7E) == 448);
  CHECK(decode(DataType::e4m3, 0x01) == 0x1p-9);
  CHECK(std::isnan(decode(DataType::e4m3, 0xFF)));
  CHECK(decode(DataType::e5m2, 0x7B) == 57344);
  CHECK(decode(DataType::e5m2, 0x81) == -0x1p-16);
  CHECK(std::isinf(decode(DataType::e5m2, 0xFC)));
  CHECK(decode(DataType::bf16, 0x3F81) == 1 + 0x1p-7);
  CHECK(decode(DataType::fp16, 0x0001) == 0x1p-24);
  CHECK(decode(DataType::fp16, 0x7BFF) == 65504);
  CHECK(std::isinf(decode(DataType::fp16, 0x7C00)));
}

TEST_CASE("rounding is to nearest, ties to even, and overflow is the format's own") {
  CHECK(encode(DataType::e4m3, 1.0625) == 0x38);   // halfway, down to even
  CHECK(encode(DataType::e4m3, 1.1875) == 0x3A);   // halfway, up to even
  CHECK(encode(DataType::e4m3, 0x1p-10) == 0x00);  // half of the smallest: even is 0
  CHECK(encode(DataType::e4m3, -0x1.000001p-10) == 0x81);
  CHECK(encode(DataType::e4m3, 1e9) == 0x7E);
  CHECK(encode(DataType::e4m3, 479) == 0x7E);
  CHECK(encode(DataType::e4m3, -INFINITY) == 0xFE);
  CHECK(encode(DataType::e4m3, NAN) == 0x7F);
  CHECK(encode(DataType::e5m2, 1e9) == 0x7B);
  CHECK(encode(DataType::e5m2, 0x1p-17) == 0x00);
  CHECK(encode(DataType::fp16, 65520) == 0x7C00);
  CHECK(encode(DataType::fp16, 65519) == 0x7BFF);
  CHECK(encode(DataType::bf16, 0x1.FFp127) == 0x7F80);
  CHECK(encode(DataType::fp16, 0x1p-1074) == 0);
  CHECK(encode(DataType::fp16, -0.0) == 0x8000);
}

TEST_CASE("fp32 agrees with the host's own conversion") {
  std::mt19937_64 random(1);
  for (int i = 0; i < 100000; ++i) {
    // Normal and subnormal values, and some that are under both.
    const double value =
        std::ldexp(static_cast<double>(random()), static_cast<int>(random() % 270) - 217);
    REQUIRE(encode(DataType::fp32, value) ==
            std::bit_cast<std::uint32_t>(static_cast<float>(value)));
    const auto bits = static_cast<std::uint32_t>(random());
    if (std::isfinite(std::bit_cast<float>(bits))) {
      REQUIRE(decode(DataType::fp32, bits) == std::bit_cast<float>(bits));
    }
  }
}
