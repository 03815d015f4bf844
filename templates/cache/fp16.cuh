#pragma once

#include "format/fp16.cuh"

namespace octavo {

using Cache = Fp16;  // what the KV cache holds

}  // namespace octavo
