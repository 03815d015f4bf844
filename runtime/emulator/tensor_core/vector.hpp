// Vectors of eight 32-bit numbers, as GCC's and Clang's vector extensions, and the choice of the
// widest instructions that the host has.
#pragma once

#include <cstring>

// Functions of vectors are always inlined, so how a vector would be passed does not matter.
#pragma GCC diagnostic ignored "-Wpsabi"

#define OCTAVO_INLINE [[gnu::always_inline]] inline

namespace octavo::emulator::tensor_core {

using Ints4 = int __attribute__((vector_size(16)));
using Ints8 = int __attribute__((vector_size(32)));
using Longs4 = long __attribute__((vector_size(32)));
using Floats4 = float __attribute__((vector_size(16)));
using Floats8 = float __attribute__((vector_size(32)));
using Doubles4 = double __attribute__((vector_size(32)));

template <class Vector>
OCTAVO_INLINE Vector load(const void* from) {
  Vector vector;
  std::memcpy(&vector, from, sizeof vector);
  return vector;
}

template <class Vector>
OCTAVO_INLINE void store(void* to, Vector vector) {
  std::memcpy(to, &vector, sizeof vector);
}

template <class Vector>
OCTAVO_INLINE Vector max(Vector x, Vector y) {
  return x > y ? x : y;
}

template <class Vector>
OCTAVO_INLINE Vector min(Vector x, Vector y) {
  return x < y ? x : y;
}

// The same bits as another vector of the same size.
template <class To, class From>
OCTAVO_INLINE To bits_of(From from) {
  return reinterpret_cast<To>(from);
}

// As a shuffle, which GCC makes one instruction of.
OCTAVO_INLINE Ints8 splat(int value) {
  const Ints8 first{value};
  return __builtin_shufflevector(first, first, 0, 0, 0, 0, 0, 0, 0, 0);
}

OCTAVO_INLINE Ints8 choose(Ints8 condition, Ints8 yes, Ints8 no) { return condition ? yes : no; }

OCTAVO_INLINE bool any(Ints8 condition) {
  const auto longs = bits_of<Longs4>(condition);
  return (longs[0] | longs[1] | longs[2] | longs[3]) != 0;
}

OCTAVO_INLINE Ints4 low_half(Ints8 x) { return __builtin_shufflevector(x, x, 0, 1, 2, 3); }
OCTAVO_INLINE Ints4 high_half(Ints8 x) { return __builtin_shufflevector(x, x, 4, 5, 6, 7); }

// Of x and then of y.
OCTAVO_INLINE Ints8 even_lanes(Ints8 x, Ints8 y) {
  return __builtin_shufflevector(x, y, 0, 2, 4, 6, 8, 10, 12, 14);
}
OCTAVO_INLINE Ints8 odd_lanes(Ints8 x, Ints8 y) {
  return __builtin_shufflevector(x, y, 1, 3, 5, 7, 9, 11, 13, 15);
}

#if defined(__x86_64__)
// Without FMA, which would round differently on hosts that lack it.
template <auto kFunction, class... Arguments>
[[gnu::target("avx2"), gnu::flatten]] void with_avx2(Arguments... arguments) {
  kFunction(arguments...);
}
#endif

// Calls kFunction, whose vector code must be inline, compiled for the host that this runs on. The
// results are the same bits everywhere.
template <auto kFunction, class... Arguments>
void vectorised(Arguments... arguments) {
#if defined(__x86_64__)
  static const bool avx2 = __builtin_cpu_supports("avx2");
  if (avx2) return with_avx2<kFunction>(arguments...);
#endif
  kFunction(arguments...);
}

}  // namespace octavo::emulator::tensor_core
