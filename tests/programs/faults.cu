// What ends a launch, and what is printed before.

extern "C" __global__ void print(int value, const char* text) {
  if (threadIdx.x % 2 == 0) {
    const int count = printf("block %d thread %2u: %-5s|%+.3f|%e|%g %c %llx %5.1f%% %x %ld\n", blockIdx.x,
                             threadIdx.x, "ab", value * 1.5, 1e-3 * value, 0.5f, 'z',
                             0x123456789abcdefull, 99.5, 255u, -5000000000l);
    if (count != 11) printf("printf returned %d\n", count);
  } else {
    printf("%*d|%s|%%|%5s|%.2s\n", 6, value, text, "x", "truncated");
  }
}

extern "C" __global__ void check(int limit) {
  assert(threadIdx.x + blockIdx.x * blockDim.x < limit && "too many");
}

extern "C" __global__ void stop() {
  if (threadIdx.x == 5) __trap();
}

extern "C" __global__ void breakpoint() { __brkpt(); }

__noinline__ __device__ int mixed(int n) { return n == 0 ? 1 : n ^ (mixed(n - 1) * 3); }

extern "C" __global__ void recurse_deeply(int* out, int depth) { out[0] = mixed(depth); }

extern "C" __global__ void through_null(int* out, unsigned long long address) {
  out[0] = reinterpret_cast<int (*)(int)>(address)(out[1]);
}

extern "C" __global__ void free_twice() {
  void* memory = malloc(8);
  free(memory);
  free(memory);
}

