#pragma once

#include "format/bf16.cuh"

namespace octavo {

using Cache = Bf16;  // what the KV cache holds

}  // namespace octavo
