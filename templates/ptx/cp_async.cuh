// Copies from global to shared memory that pass no register and complete in groups. `shared` is an
// address in shared memory; of the copied bytes, those beyond `bytes` are zero and are not read.
#pragma once

namespace octavo {

inline __device__ void cp_async_16(unsigned shared, unsigned long long global, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(global),
               "r"(bytes)
               : "memory");
}

inline __device__ void cp_async_4(unsigned shared, unsigned long long global, int bytes) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared), "l"(global), "r"(bytes)
               : "memory");
}

inline __device__ void cp_async_commit_group() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

// Until at most kPending of the thread's newest groups are incomplete.
template <int kPending>
inline __device__ void cp_async_wait_group() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

}  // namespace octavo
