// A segment's coefficients from recorded results.
#pragma once

#include <cstdint>
#include <span>

#include "tensor_core/special_tables.hpp"

namespace octavo::emulator::tensor_core {

// The table's sum for this x was in [value, value + width), in its own units.
struct Sample {
  std::int64_t x, value, width;
};

// c1 and c2 are where least squares puts them, to the nearest integers with which every sample
// holds for some c0; of c0 there is then one. Throws std::runtime_error if there are none.
Segment fit(const Interpolation& interpolation, std::span<const Sample> samples);

}  // namespace octavo::emulator::tensor_core
