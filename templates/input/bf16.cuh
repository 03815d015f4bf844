#pragma once

#include "format/bf16.cuh"

namespace octavo {

using Input = Bf16;  // what q, k and v are

}  // namespace octavo
