// The lists that all_helpers() joins.
#pragma once

#include <span>

#include "execute/warp.hpp"

namespace octavo::emulator {

std::span<const Helper> control_helpers();
std::span<const Helper> barrier_helpers();
std::span<const Helper> register_helpers();
std::span<const Helper> cluster_memory_helpers();
std::span<const Helper> access_helpers();
std::span<const Helper> atomic_helpers();
std::span<const Helper> async_copy_helpers();
std::span<const Helper> mbarrier_helpers();
std::span<const Helper> fence_helpers();
std::span<const Helper> bulk_copy_helpers();
std::span<const Helper> tensor_copy_helpers();
std::span<const Helper> exchange_helpers();
std::span<const Helper> wgmma_helpers();
std::span<const Helper> arithmetic_helpers();
std::span<const Helper> rounding_helpers();
std::span<const Helper> conversion_helpers();
std::span<const Helper> call_helpers();
std::span<const Helper> undefined_helpers();
std::span<const Helper> stack_helpers();
std::span<const Helper> wmma_helpers();

}  // namespace octavo::emulator
