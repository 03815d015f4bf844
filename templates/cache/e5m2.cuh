#pragma once

#include "format/e5m2.cuh"

namespace octavo {

using Cache = E5m2;  // what the KV cache holds

}  // namespace octavo
