// Reads all of `count` 16-byte words, and leaves it to the sum whether anything is written, so that
// no read can be left out.
extern "C" __global__ void __launch_bounds__(512)
    read_all(const uint4* from, unsigned long long count, unsigned* sink) {
  constexpr int kInFlight = 8;
  const unsigned long long threads = 1ull * gridDim.x * blockDim.x;
  unsigned long long i = 1ull * blockIdx.x * blockDim.x + threadIdx.x;
  unsigned sum = 0;
  for (; i + (kInFlight - 1) * threads < count; i += kInFlight * threads) {
    uint4 words[kInFlight];
#pragma unroll
    for (int j = 0; j < kInFlight; ++j) words[j] = from[i + j * threads];
#pragma unroll
    for (int j = 0; j < kInFlight; ++j) sum += words[j].x ^ words[j].y ^ words[j].z ^ words[j].w;
  }
  for (; i < count; i += threads) {
    const uint4 word = from[i];
    sum += word.x ^ word.y ^ word.z ^ word.w;
  }
  if (sum == 0x9E3779B9) *sink = sum;
}

// Copies `count` 16-byte words.
extern "C" __global__ void __launch_bounds__(512)
    copy_all(const uint4* from, unsigned long long count, uint4* to) {
  constexpr int kInFlight = 4;
  const unsigned long long threads = 1ull * gridDim.x * blockDim.x;
  unsigned long long i = 1ull * blockIdx.x * blockDim.x + threadIdx.x;
  for (; i + (kInFlight - 1) * threads < count; i += kInFlight * threads) {
    uint4 words[kInFlight];
#pragma unroll
    for (int j = 0; j < kInFlight; ++j) words[j] = from[i + j * threads];
#pragma unroll
    for (int j = 0; j < kInFlight; ++j) to[i + j * threads] = words[j];
  }
  for (; i < count; i += threads) to[i] = from[i];
}

// Words drawn from `choices` at random.
extern "C" __global__ void fill_random(unsigned* to, unsigned long long count, unsigned seed,
                                       const unsigned* choices, unsigned choice_count) {
  const unsigned long long threads = 1ull * gridDim.x * blockDim.x;
  for (unsigned long long i = 1ull * blockIdx.x * blockDim.x + threadIdx.x; i < count;
       i += threads) {
    unsigned long long z = (i + (1ull * seed << 32)) * 0x9E3779B97F4A7C15ull;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ z >> 27) * 0x94D049BB133111EBull;
    to[i] = choices[static_cast<unsigned>(z >> 32) % choice_count];
  }
}
