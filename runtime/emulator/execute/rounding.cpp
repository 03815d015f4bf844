// Floating-point arithmetic in the rounding directions other than to nearest, by the host's own
// modes.
#include <immintrin.h>

#include <cmath>

#include "execute/helpers.hpp"
#include "execute/numbers.hpp"

namespace octavo::emulator {
namespace {

// The rounding direction of this thread while the object lives.
class Direction {
 public:
  explicit Direction(std::uint32_t rounding) : saved_(_mm_getcsr()) {
    constexpr unsigned kModes[] = {_MM_ROUND_NEAREST, _MM_ROUND_TOWARD_ZERO, _MM_ROUND_DOWN,
                                   _MM_ROUND_UP};
    _mm_setcsr((saved_ & ~static_cast<unsigned>(_MM_ROUND_MASK)) | kModes[rounding & 3]);
  }
  Direction(const Direction&) = delete;
  Direction& operator=(const Direction&) = delete;
  ~Direction() { _mm_setcsr(saved_); }

 private:
  unsigned saved_;
};

// Keeps a value's computation between the changes of mode: compilers do not know of the mode.
template <typename T>
T pinned(T value) {
  asm volatile("" : "+x"(value));
  return value;
}

struct Add {
  template <typename T>
  static T apply(T a, T b, T) {
    return a + b;
  }
};
struct Mul {
  template <typename T>
  static T apply(T a, T b, T) {
    return a * b;
  }
};
struct Div {
  template <typename T>
  static T apply(T a, T b, T) {
    return a / b;
  }
};
struct Fma {
  template <typename T>
  static T apply(T a, T b, T c) {
    return std::fma(a, b, c);
  }
};
struct Sqrt {
  template <typename T>
  static T apply(T a, T, T) {
    return std::sqrt(a);
  }
};

template <typename Operation, typename T>
void rounded(T* d, const T* a, const T* b, const T* c, std::uint32_t rounding) {
  const Direction direction(rounding);
  for (int i = 0; i < kLanes; ++i) {
    d[i] = pinned(Operation::apply(pinned(a[i]), pinned(b[i]), pinned(c[i])));
  }
}

template <typename From, typename To>
void convert(To* d, const From* a, std::uint32_t rounding) {
  const Direction direction(rounding);
  for (int i = 0; i < kLanes; ++i) {
    From value = a[i];
    asm volatile("" : "+m"(value));
    d[i] = pinned(static_cast<To>(value));
  }
}

}  // namespace

#define OCTAVO_ROUNDED(name, operation)                                                        \
  Helper{"octavo_" name "_f32", reinterpret_cast<void*>(&rounded<operation, float>)}, Helper { \
    "octavo_" name "_f64", reinterpret_cast<void*>(&rounded<operation, double>)                \
  }
#define OCTAVO_CONVERT(name, from, to) \
  Helper { "octavo_cvt_" name, reinterpret_cast<void*>(&convert<from, to>) }

std::span<const Helper> rounding_helpers() {
  static const Helper list[] = {OCTAVO_ROUNDED("add", Add),
                                OCTAVO_ROUNDED("mul", Mul),
                                OCTAVO_ROUNDED("div", Div),
                                OCTAVO_ROUNDED("fma", Fma),
                                OCTAVO_ROUNDED("sqrt", Sqrt),
                                OCTAVO_CONVERT("f32_f64", double, float),
                                OCTAVO_CONVERT("f32_s32", std::int32_t, float),
                                OCTAVO_CONVERT("f32_u32", std::uint32_t, float),
                                OCTAVO_CONVERT("f32_s64", std::int64_t, float),
                                OCTAVO_CONVERT("f32_u64", std::uint64_t, float),
                                OCTAVO_CONVERT("f64_s64", std::int64_t, double),
                                OCTAVO_CONVERT("f64_u64", std::uint64_t, double)};
  return list;
}

}  // namespace octavo::emulator
