// Functions that stay functions: structs by value, recursion, pointers, virtual calls, the stack.

struct Particle {
  int id;
  float mass;
  double position[3];
  char tag[8];
};

__noinline__ __device__ Particle moved(Particle particle, double step) {
  particle.id += 1000;
  particle.mass *= 0.5f;
  for (int i = 0; i < 3; ++i) particle.position[i] += step * (i + 1);
  particle.tag[particle.id % 4] = 'x';
  return particle;
}

extern "C" __global__ void move_particles(Particle* particles, Particle common) {
  Particle mine = moved(common, threadIdx.x);
  if (threadIdx.x % 3 == 0) mine = moved(mine, 0.5);
  particles[threadIdx.x] = mine;
}

__noinline__ __device__ int fibonacci(int n) {
  return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

__noinline__ __device__ int ackermann(int m, int n) {
  if (m == 0) return n + 1;
  return n == 0 ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1));
}

__noinline__ __device__ bool is_odd(unsigned n);
__noinline__ __device__ bool is_even(unsigned n) { return n == 0 || is_odd(n - 1); }
__noinline__ __device__ bool is_odd(unsigned n) { return n != 0 && is_even(n - 1); }

// The caller's array is read through its address by deeper activations.
__noinline__ __device__ long long permutations(int* taken, int n, int depth) {
  if (depth == n) {
    long long code = 0;
    for (int i = 0; i < n; ++i) code = code * 10 + taken[i];
    return code % 7 == 0;
  }
  int mine[6];
  for (int i = 0; i < depth; ++i) mine[i] = taken[i];
  long long found = 0;
  for (int candidate = 0; candidate < n; ++candidate) {
    bool free = true;
    for (int i = 0; i < depth; ++i) free = free && mine[i] != candidate;
    if (!free) continue;
    mine[depth] = candidate;
    found += permutations(mine, n, depth + 1);
  }
  return found;
}

extern "C" __global__ void recurse(int* out) {
  const int t = threadIdx.x;
  out[4 * t] = fibonacci(t % 13);
  out[4 * t + 1] = ackermann(t % 3, t % 5);
  out[4 * t + 2] = is_even(t);
  int none[6];
  out[4 * t + 3] = permutations(none, 1 + t % 5, 0);
}

using Operation = float (*)(float, float);
__device__ float add(float a, float b) { return a + b; }
__device__ float subtract(float a, float b) { return a - b; }
__device__ float multiply(float a, float b) { return a * b; }
__device__ Operation operations[3] = {add, subtract, multiply};
__constant__ Operation twice[2] = {multiply, add};

extern "C" __global__ void through_pointers(const float* in, float* out, int shift) {
  const int t = threadIdx.x;
  const Operation mine = operations[(t + shift) % 3];
  out[t] = mine(twice[shift % 2](in[t], in[t]), 3.0f);
}

// A comparison by pointer, in a recursion of its own.
__noinline__ __device__ bool descending(int a, int b) { return a > b; }
__noinline__ __device__ bool ascending(int a, int b) { return a < b; }
__noinline__ __device__ void quicksort(int* values, int n, bool (*before)(int, int)) {
  if (n < 2) return;
  const int pivot = values[n / 2];
  int i = 0, j = n - 1;
  while (i <= j) {
    while (before(values[i], pivot)) ++i;
    while (before(pivot, values[j])) --j;
    if (i > j) break;
    const int value = values[i];
    values[i++] = values[j];
    values[j--] = value;
  }
  quicksort(values, j + 1, before);
  quicksort(values + i, n - i, before);
}

extern "C" __global__ void sort_rows(int* values, int n) {
  quicksort(values + threadIdx.x * n, n, threadIdx.x % 2 == 0 ? ascending : descending);
}

struct Shape {
  __device__ virtual double area() const = 0;
  __device__ virtual ~Shape() {}
};
struct Square : Shape {
  double side;
  __device__ explicit Square(double s) : side(s) {}
  __device__ double area() const override { return side * side; }
};
struct Rectangle : Square {
  double other;
  __device__ Rectangle(double a, double b) : Square(a), other(b) {}
  __device__ double area() const override { return side * other; }
};

extern "C" __global__ void areas(double* out) {
  const int t = threadIdx.x;
  Shape* shape;
  if (t % 2 == 0) {
    shape = new Square(t);
  } else {
    shape = new Rectangle(t, 0.5);
  }
  out[t] = shape->area();
  delete shape;
}

extern "C" __global__ void lists(int* out, int length) {
  struct Node {
    int value;
    Node* next;
  };
  Node* head = nullptr;
  for (int i = 0; i < length; ++i) {
    auto* node = static_cast<Node*>(malloc(sizeof(Node)));
    *node = {i * static_cast<int>(threadIdx.x), head};
    head = node;
  }
  int sum = 0;
  while (head != nullptr) {
    Node* next = head->next;
    sum += head->value;
    free(head);
    head = next;
  }
  out[threadIdx.x] = sum;
}

extern "C" __global__ void ask_for_too_much(int* out) {
  out[0] = malloc(1ull << 40) == nullptr;
  void* good = malloc(8);
  free(good);
  free(nullptr);
  out[1] = good != nullptr;
}

template <int N>
struct Power {
  __device__ static int of(int x) { return x * Power<N - 1>::of(x) + N; }
};
template <>
struct Power<0> {
  __device__ static int of(int) { return 1; }
};

extern "C" __global__ void switches(const int* in, int* out) {
  const int value = in[threadIdx.x];
  int result;
  switch (value) {
    case 0: result = 5; break;
    case 1: result = value * 7; break;
    case 2: result = Power<5>::of(value); break;
    case 3: result = value ^ 0x55;  [[fallthrough]];
    case 4: result = __clz(value); break;
    case 5: result = __popc(value) + 100; break;
    case 6: result = static_cast<int>(__brev(value)); break;
    case 7: result = __ffs(value); break;
    case 100: result = value << 20; break;
    default: result = -1;
  }
  out[threadIdx.x] = result;
}

// An array that is indexed by values must lie in local memory.
extern "C" __global__ void local_array(int* out, int factor) {
  int table[64];
  for (int i = 0; i < 64; ++i) table[i] = i * factor;
  int sum = 0;
  for (int i = 0; i < 64; ++i) sum += table[(i * factor + static_cast<int>(threadIdx.x)) & 63] * i;
  out[threadIdx.x] = sum;
}
