// Globals with initialisers, strings, a hash table, 64-bit integers, random numbers, fractals.

__device__ int answer = 42;
__device__ int* pointer = &answer;
__device__ const char* names[] = {"one", "two", "three"};
__constant__ float constants[4] = {1, 2.5f, -3, 4};
__device__ int table[10];
__device__ int* middle = table + 3;
__device__ double grid[2][3] = {{1, 2, 3}, {4, 5, 6}};
struct Entry {
  char letter;
  const char* text;
  short number;
  float value;
};
__device__ Entry entries[2] = {{'a', "alpha", 7, 1.5f}, {'b', "beta", -8, 2.5f}};

extern "C" __global__ void read_globals(double* out) {
  const int t = threadIdx.x;
  if (t == 0) *middle = 77;
  __syncwarp();
  out[8 * t] = *pointer;
  out[8 * t + 1] = table[3];
  out[8 * t + 2] = names[t % 3][1];
  out[8 * t + 3] = constants[t % 4];
  out[8 * t + 4] = grid[t % 2][t % 3];
  out[8 * t + 5] = entries[t % 2].text[2];
  out[8 * t + 6] = entries[t % 2].number;
  out[8 * t + 7] = entries[t % 2].letter + entries[t % 2].value;
}

extern "C" __global__ void count_words(const char* text, const int* begins, int* counts) {
  const char* line = text + begins[threadIdx.x];
  int words = 0;
  bool inside = false;
  for (; *line != '\0'; ++line) {
    const bool letter = (*line >= 'a' && *line <= 'z') || (*line >= 'A' && *line <= 'Z');
    words += letter && !inside;
    inside = letter;
  }
  counts[threadIdx.x] = words;
}

// Open addressing: a key in the upper half, its count in the lower.
extern "C" __global__ void insert(unsigned long long* slots, unsigned capacity, const unsigned* keys,
                                  unsigned count) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const unsigned long long fresh = static_cast<unsigned long long>(keys[i]) << 32 | 1;
  for (unsigned at = keys[i] * 2654435761u % capacity;; at = (at + 1) % capacity) {
    const unsigned long long found = atomicCAS(&slots[at], ~0ull, fresh);
    if (found == ~0ull) return;
    if (found >> 32 != keys[i]) continue;
    atomicAdd(&slots[at], 1ull);
    return;
  }
}

extern "C" __global__ void integers(const long long* in, long long* out) {
  const long long a = in[2 * threadIdx.x], b = in[2 * threadIdx.x + 1];
  const unsigned long long ua = a, ub = b;
  long long* to = out + 12 * threadIdx.x;
  to[0] = a / b;
  to[1] = a % b;
  to[2] = ua / ub;
  to[3] = ua % ub;
  to[4] = __mul64hi(a, b);
  to[5] = __umul64hi(ua, ub);
  to[6] = a >> (ub & 63);
  to[7] = __popcll(ua) * 100 + __clzll(a);
  to[8] = __brevll(ua);
  to[9] = static_cast<long long>((ua >> 3) * ub);
  to[10] = static_cast<int>(a) / static_cast<short>(b | 1);
  to[11] = static_cast<long long>(static_cast<double>(a) * 0.5);
}

// Philox of four words and ten rounds.
__device__ uint4 philox(unsigned counter, unsigned seed) {
  uint4 c = {counter, 0, 0, 0};
  unsigned k0 = seed, k1 = 0xCAFE;
  for (int round = 0; round < 10; ++round) {
    const unsigned h0 = __umulhi(0xD2511F53u, c.x), l0 = 0xD2511F53u * c.x;
    const unsigned h1 = __umulhi(0xCD9E8D57u, c.z), l1 = 0xCD9E8D57u * c.z;
    c = {h1 ^ c.y ^ k0, l1, h0 ^ c.w ^ k1, l0};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

extern "C" __global__ void throw_darts(unsigned* hits, unsigned seed, int throws) {
  unsigned own = 0;
  for (int i = 0; i < throws; ++i) {
    const uint4 bits = philox((blockIdx.x * blockDim.x + threadIdx.x) * throws + i, seed);
    const double x = bits.x * 0x1p-32, y = bits.y * 0x1p-32;
    own += x * x + y * y < 1;
  }
  atomicAdd(hits, own);
}

extern "C" __global__ void mandelbrot(unsigned char* out, int width, int height) {
  const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y;
  if (x >= width) return;
  const double cr = -2 + 3.0 * x / width, ci = -1 + 2.0 * y / height;
  double zr = 0, zi = 0;
  int i = 0;
  for (; i < 200 && zr * zr + zi * zi < 4; ++i) {
    const double next = __dadd_rn(__dadd_rn(__dmul_rn(zr, zr), -__dmul_rn(zi, zi)), cr);
    zi = __dadd_rn(__dmul_rn(__dmul_rn(2, zr), zi), ci);
    zr = next;
  }
  out[y * width + x] = i;
}

extern "C" __global__ void shared_addresses(unsigned* out) {
  extern __shared__ __align__(256) unsigned dynamic[];
  __shared__ unsigned own[37];
  own[0] = __cvta_generic_to_shared(dynamic);
  dynamic[0] = __cvta_generic_to_shared(own);
  out[0] = dynamic[0];
  out[1] = own[0];
}

// Most blocks of a very large grid exit at once.
extern "C" __global__ void exit_at_once(unsigned* last) {
  if (blockIdx.x == gridDim.x - 1) *last = blockIdx.x;
}
