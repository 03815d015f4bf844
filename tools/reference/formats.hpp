// The number formats on the host, exactly: what a GPU's conversions give, from plain integers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "generator/spec.hpp"

namespace octavo::reference {

// The code of `value`, rounded to nearest, ties to even. Beyond the largest finite value the two
// fp8 formats saturate and the others give infinity, as the GPU's conversions do. NaN gives the
// format's NaN (e4m3 and e5m2: 0x7F).
std::uint32_t encode(DataType type, double value);

// The value of a code; exact.
double decode(DataType type, std::uint32_t code);

// The largest finite value: 448 for e4m3.
double largest(DataType type);

// Half a unit in the last place of a normal value, relative to it, at most: 2^-8 for bf16.
double rounding_error(DataType type);

// What the tensor cores multiply. An e5m2 cache is multiplied by e4m3 queries and weights.
DataType multiplied_type(Matmul matmul);

// Element `index` of an array of codes, written and read; and `out.size()` of them from `index` on.
void store(DataType type, std::byte* data, std::size_t index, double value);
double load(DataType type, const std::byte* data, std::size_t index);
void load(DataType type, const std::byte* data, std::size_t index, std::span<double> out);

}  // namespace octavo::reference
