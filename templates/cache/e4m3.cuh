#pragma once

#include "format/e4m3.cuh"

namespace octavo {

using Cache = E4m3;  // what the KV cache holds

}  // namespace octavo
