// Order between the ways to memory.
#pragma once

namespace octavo {

// What the thread wrote to shared memory comes before what wgmma reads there, once others know.
inline __device__ void fence_proxy_async() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

}  // namespace octavo
