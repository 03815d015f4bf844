#pragma once

#include "format/fp16.cuh"

namespace octavo {

using Input = Fp16;  // what q, k and v are

}  // namespace octavo
