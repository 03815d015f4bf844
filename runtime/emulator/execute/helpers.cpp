#include "execute/helpers.hpp"

namespace octavo::emulator {

std::vector<Helper> all_helpers() {
  std::vector<Helper> all;
  for (const auto list :
       {control_helpers(), barrier_helpers(),    register_helpers(),    cluster_memory_helpers(),
        access_helpers(),  atomic_helpers(),     async_copy_helpers(),  mbarrier_helpers(),
        fence_helpers(),   bulk_copy_helpers(),  tensor_copy_helpers(), exchange_helpers(),
        wgmma_helpers(),   arithmetic_helpers(), rounding_helpers(),    conversion_helpers(),
        call_helpers(),    undefined_helpers(),  stack_helpers(),       wmma_helpers()}) {
    all.insert(all.end(), list.begin(), list.end());
  }
  return all;
}

}  // namespace octavo::emulator
