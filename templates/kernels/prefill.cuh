#pragma once

#include "prefill/consumer.cuh"
#include "prefill/ones.cuh"
#include "prefill/producer.cuh"

namespace octavo {

extern __shared__ __align__(1024) uint4 shared_memory[];

// Attention of many query tokens a sequence over its KV cache. A block takes up to kRows query
// rows of one KV head over all the tokens that these see. One warpgroup brings tiles of tokens to
// shared memory, as wgmma takes them, and leaves most of its registers to the others, which have 64
// rows each.
extern "C" __global__ void __launch_bounds__(kThreads, 1)
    octavo_prefill(const __grid_constant__ PrefillKernelArguments arguments) {
  Launch::wait();
  Launch::let_next_begin();
  const int consumers = consumers_of(rows_of_prefill(arguments));
  if (consumers <= 0) return;
  const Memory memory(shared_memory);
  if (threadIdx.x == 0) memory.start_barriers(consumers);
  store_ones(memory);
  __syncthreads();

  // Each finds out about the rows by itself: neither has a register for what the other needs.
  if (warp_id() < 4) {
    setmaxnreg_dec<kProducerRegisters>();
    Producer(arguments, memory).run(tokens_of(rows_of_prefill(arguments)));
  } else {
    setmaxnreg_inc<kConsumerRegisters>();
    Consumer(arguments, memory).run();
  }
}

}  // namespace octavo
