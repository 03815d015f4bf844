// Vectors of eight 32-bit numbers, as GCC's and Clang's vector extensions, and the choice of the
// widest instructions that the host has.
#pragma once

#include <cstring>

// Functions of vectors are always inlined, so how a vector would be passed does not matter.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace octavo::emulator::tensor_core {

using Ints8 = int __attribute__((vector_size(32)));
using Longs4 = long __attribute__((vector_size(32)));
using Floats4 = float __attribute__((vector_size(16)));
using Floats8 = float __attribute__((vector_size(32)));
using Doubles4 = double __attribute__((vector_size(32)));

template <class Vector>
[[gnu::always_inline]] inline Vector load(const void* from) {
  Vector vector;
  std::memcpy(&vector, from, sizeof vector);
  return vector;
}

template <class Vector>
[[gnu::always_inline]] inline void store(void* to, Vector vector) {
  std::memcpy(to, &vector, sizeof vector);
}

template <class Vector>
[[gnu::always_inline]] inline Vector max(Vector x, Vector y) {
  return x > y ? x : y;
}

template <class Vector>
[[gnu::always_inline]] inline Vector min(Vector x, Vector y) {
  return x < y ? x : y;
}

// The same bits as another vector of the same size.
template <class To, class From>
[[gnu::always_inline]] inline To bits_of(From from) {
  return reinterpret_cast<To>(from);
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
