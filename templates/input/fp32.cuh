#pragma once

#include "format/fp32.cuh"

namespace octavo {

using Input = Fp32;  // what q, k and v are

}  // namespace octavo
