// What atomics and reductions make of the value in memory.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "execute/numbers.hpp"

namespace octavo::emulator::atomic {

// An operation replaces the old value by a new one; T is the bits in memory.
struct Add {
  template <typename T>
  static T apply(T old, T b, T) {
    return static_cast<T>(old + b);
  }
};
struct Min {
  template <typename T>
  static T apply(T old, T b, T) {
    return b < old ? b : old;
  }
};
struct Max {
  template <typename T>
  static T apply(T old, T b, T) {
    return b > old ? b : old;
  }
};
struct And {
  template <typename T>
  static T apply(T old, T b, T) {
    return static_cast<T>(old & b);
  }
};
struct Or {
  template <typename T>
  static T apply(T old, T b, T) {
    return static_cast<T>(old | b);
  }
};
struct Xor {
  template <typename T>
  static T apply(T old, T b, T) {
    return static_cast<T>(old ^ b);
  }
};
struct Exch {
  template <typename T>
  static T apply(T, T b, T) {
    return b;
  }
};
struct Cas {
  template <typename T>
  static T apply(T old, T b, T c) {
    return old == b ? c : old;
  }
};
struct Inc {
  template <typename T>
  static T apply(T old, T b, T) {
    return old >= b ? T{0} : static_cast<T>(old + 1);
  }
};
struct Dec {
  template <typename T>
  static T apply(T old, T b, T) {
    return old == 0 || old > b ? b : static_cast<T>(old - 1);
  }
};

struct SignedMin {
  template <typename T>
  static T apply(T old, T b, T) {
    using S = std::make_signed_t<T>;
    return static_cast<S>(b) < static_cast<S>(old) ? b : old;
  }
};
struct SignedMax {
  template <typename T>
  static T apply(T old, T b, T) {
    using S = std::make_signed_t<T>;
    return static_cast<S>(b) > static_cast<S>(old) ? b : old;
  }
};
struct AddF32 {
  static std::uint32_t apply(std::uint32_t old, std::uint32_t b, std::uint32_t) {
    return canonical(bits_of(float_of(old) + float_of(b)));
  }
};
// In global memory, f32 addition flushes subnormals.
struct AddF32Flush {
  static std::uint32_t apply(std::uint32_t old, std::uint32_t b, std::uint32_t) {
    return flush(canonical(bits_of(float_of(flush(old)) + float_of(flush(b)))));
  }
};
struct AddF64 {
  static std::uint64_t apply(std::uint64_t old, std::uint64_t b, std::uint64_t) {
    return bits_of(double_of(old) + double_of(b));
  }
};
struct AddF16x2 {
  static std::uint32_t apply(std::uint32_t old, std::uint32_t b, std::uint32_t) {
    const auto low = add_f16(static_cast<std::uint16_t>(old), static_cast<std::uint16_t>(b));
    const auto high =
        add_f16(static_cast<std::uint16_t>(old >> 16), static_cast<std::uint16_t>(b >> 16));
    return low | static_cast<std::uint32_t>(high) << 16;
  }
};
struct AddBf16x2 {
  static std::uint32_t apply(std::uint32_t old, std::uint32_t b, std::uint32_t) {
    const auto low = add_bf16(static_cast<std::uint16_t>(old), static_cast<std::uint16_t>(b));
    const auto high =
        add_bf16(static_cast<std::uint16_t>(old >> 16), static_cast<std::uint16_t>(b >> 16));
    return low | static_cast<std::uint32_t>(high) << 16;
  }
};
struct AddF16 {
  static std::uint16_t apply(std::uint16_t old, std::uint16_t b, std::uint16_t) {
    return add_f16(old, b);
  }
};
struct AddBf16 {
  static std::uint16_t apply(std::uint16_t old, std::uint16_t b, std::uint16_t) {
    return add_bf16(old, b);
  }
};

// The smaller or larger number; a NaN only if both are.
template <const Format& format, bool larger>
struct ChooseHalf {
  static std::uint16_t apply(std::uint16_t old, std::uint16_t b, std::uint16_t) {
    const double x = decode(old, format), y = decode(b, format);
    if (std::isnan(x)) return std::isnan(y) ? static_cast<std::uint16_t>(format.nan()) : b;
    if (std::isnan(y)) return old;
    const bool b_is_less = x == y ? std::signbit(y) : y < x;
    return b_is_less != larger ? b : old;
  }
};

__extension__ using Wide = unsigned __int128;

// If the element holds `old`, it becomes `fresh`; else old becomes what it holds.
template <typename T>
bool swap_in(T* element, T& old, T fresh) {
  return __atomic_compare_exchange_n(element, &old, fresh, true, __ATOMIC_SEQ_CST,
                                     __ATOMIC_SEQ_CST);
}
__attribute__((target("cx16"))) inline bool swap_in(Wide* element, Wide& old, Wide fresh) {
  const Wide before = __sync_val_compare_and_swap(element, old, fresh);
  const bool done = before == old;
  old = before;
  return done;
}

// Replaces an element in memory, atomically for every host thread; what it was.
template <typename Operation, typename T>
T replace(T* element, T b, T c, T& fresh) {
  T old = *const_cast<const volatile T*>(element);  // swap_in tells if it was torn
  do {
    fresh = Operation::apply(old, b, c);
  } while (!swap_in(element, old, fresh));
  return old;
}

}  // namespace octavo::emulator::atomic
