// Copies of a tensor's boxes by the tensor memory accelerator.
#pragma once

namespace octavo {

// From global to shared memory, the box whose first element is in this column and row, by a
// CUtensorMap at a generic address; what lies outside the tensor becomes zeros. When the bytes are
// there the barrier counts them off.
inline __device__ void cp_async_bulk_tensor_2d(unsigned shared, const void* map, int column,
                                               int row, unsigned barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%2, %3}], [%4];" ::"r"(shared),
      "l"(map), "r"(column), "r"(row), "r"(barrier)
      : "memory");
}

}  // namespace octavo
