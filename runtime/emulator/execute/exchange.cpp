// Instructions in which the lanes of a warp see each other's values.
#include <array>
#include <cmath>
#include <cstring>

#include "execute/access.hpp"
#include "execute/helpers.hpp"
#include "execute/numbers.hpp"

namespace octavo::emulator {
namespace {

enum class Shuffle : std::uint8_t { up, down, bfly, idx };

// The source lane of each lane, and whether it is in range; the ISA's own formulas.
template <Shuffle mode>
void shuffle(std::uint32_t* result, std::uint32_t* in_range, const std::uint32_t* a,
             const std::uint32_t* b, const std::uint32_t* c) {
  std::uint32_t values[kLanes];
  std::memcpy(values, a, sizeof values);
  for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
    const std::uint32_t segment = c[lane] >> 8 & 31, clamp = c[lane] & 31, delta = b[lane] & 31;
    const std::uint32_t lowest = lane & segment, highest = lowest | (clamp & ~segment);
    std::uint32_t source = lane;
    bool valid = false;
    switch (mode) {
      case Shuffle::up:
        source = lane - delta;
        valid = static_cast<std::int32_t>(source) >= static_cast<std::int32_t>(highest);
        break;
      case Shuffle::down:
        source = lane + delta;
        valid = source <= highest;
        break;
      case Shuffle::bfly:
        source = lane ^ delta;
        valid = source <= highest;
        break;
      case Shuffle::idx:
        source = lowest | (delta & ~segment & 31);
        valid = source <= highest;
        break;
    }
    result[lane] = values[valid ? source & 31 : lane];
    in_range[lane] = valid ? ~0u : 0;
  }
}

// Of values, those of the lanes that take part with `lane`.
std::uint32_t participants(const Warp& warp, const std::uint32_t* members, int lane) {
  return members[lane] & warp.mask;
}

template <typename T>
void match_any(Warp* warp, std::uint32_t* result, const T* a, const std::uint32_t* members) {
  for_lanes(warp->mask, [&](int lane) {
    std::uint32_t same = 0;
    for_lanes(participants(*warp, members, lane), [&](int other) {
      if (a[other] == a[lane]) same |= 1u << other;
    });
    result[lane] = same;
  });
}

template <typename T>
void match_all(Warp* warp, std::uint32_t* result, std::uint32_t* all, const T* a,
               const std::uint32_t* members) {
  for_lanes(warp->mask, [&](int lane) {
    const std::uint32_t group = participants(*warp, members, lane);
    bool same = true;
    for_lanes(group, [&](int other) { same = same && a[other] == a[lane]; });
    result[lane] = same ? group : 0;
    all[lane] = same ? ~0u : 0;
  });
}

template <typename F>
void reduce(Warp* warp, std::uint32_t* result, const std::uint32_t* a, const std::uint32_t* members,
            F&& combine) {
  std::uint32_t values[kLanes];
  std::memcpy(values, a, sizeof values);
  for_lanes(warp->mask, [&](int lane) {
    std::uint32_t sum = values[lane];
    for_lanes(participants(*warp, members, lane) & ~(1u << lane),
              [&](int other) { sum = combine(sum, values[other]); });
    result[lane] = sum;
  });
}

using U = std::uint32_t;

}  // namespace

static void octavo_shfl_up(U* d, U* p, const U* a, const U* b, const U* c) {
  shuffle<Shuffle::up>(d, p, a, b, c);
}
static void octavo_shfl_down(U* d, U* p, const U* a, const U* b, const U* c) {
  shuffle<Shuffle::down>(d, p, a, b, c);
}
static void octavo_shfl_bfly(U* d, U* p, const U* a, const U* b, const U* c) {
  shuffle<Shuffle::bfly>(d, p, a, b, c);
}
static void octavo_shfl_idx(U* d, U* p, const U* a, const U* b, const U* c) {
  shuffle<Shuffle::idx>(d, p, a, b, c);
}

// The lanes whose result is undefined, from those in which a is.
static U octavo_undefined_shfl(U undefined, const U* b, const U* c, U mode) {
  if (undefined == 0) return 0;
  U lanes[kLanes], result[kLanes], in_range[kLanes], bits = 0;
  for (U lane = 0; lane < kLanes; ++lane) lanes[lane] = undefined >> lane & 1;
  constexpr auto kModes = std::array{&shuffle<Shuffle::up>, &shuffle<Shuffle::down>,
                                     &shuffle<Shuffle::bfly>, &shuffle<Shuffle::idx>};
  kModes[mode](result, in_range, lanes, b, c);
  for (U lane = 0; lane < kLanes; ++lane) bits |= result[lane] << lane;
  return bits;
}

// The lanes of the lane's group whose predicate bit is set.
static void octavo_vote(Warp* warp, U* ballot, U* group, std::uint32_t bits, const U* members) {
  for_lanes(warp->mask, [&](int lane) {
    group[lane] = participants(*warp, members, lane);
    ballot[lane] = bits & group[lane];
  });
}

static void octavo_match_any_32(Warp* w, U* d, const U* a, const U* m) { match_any(w, d, a, m); }
static void octavo_match_any_64(Warp* w, U* d, const std::uint64_t* a, const U* m) {
  match_any(w, d, a, m);
}
static void octavo_match_all_32(Warp* w, U* d, U* p, const U* a, const U* m) {
  match_all(w, d, p, a, m);
}
static void octavo_match_all_64(Warp* w, U* d, U* p, const std::uint64_t* a, const U* m) {
  match_all(w, d, p, a, m);
}

static void octavo_redux_add(Warp* w, U* d, const U* a, const U* m) {
  reduce(w, d, a, m, [](U x, U y) { return x + y; });
}
static void octavo_redux_and(Warp* w, U* d, const U* a, const U* m) {
  reduce(w, d, a, m, [](U x, U y) { return x & y; });
}
static void octavo_redux_or(Warp* w, U* d, const U* a, const U* m) {
  reduce(w, d, a, m, [](U x, U y) { return x | y; });
}
static void octavo_redux_xor(Warp* w, U* d, const U* a, const U* m) {
  reduce(w, d, a, m, [](U x, U y) { return x ^ y; });
}
static void octavo_redux_umin(Warp* w, U* d, const U* a, const U* m) {
  reduce(w, d, a, m, [](U x, U y) { return y < x ? y : x; });
}
static void octavo_redux_umax(Warp* w, U* d, const U* a, const U* m) {
  reduce(w, d, a, m, [](U x, U y) { return y > x ? y : x; });
}
static void octavo_redux_smin(Warp* w, U* d, const U* a, const U* m) {
  reduce(w, d, a, m, [](U x, U y) {
    return static_cast<std::int32_t>(y) < static_cast<std::int32_t>(x) ? y : x;
  });
}
static void octavo_redux_smax(Warp* w, U* d, const U* a, const U* m) {
  reduce(w, d, a, m, [](U x, U y) {
    return static_cast<std::int32_t>(y) > static_cast<std::int32_t>(x) ? y : x;
  });
}

// flags: 1 the greatest, not the least; 2 of magnitudes; 4 NaNs win.
static void octavo_redux_f32(Warp* w, U* d, const U* a, const U* m, U flags) {
  U values[kLanes];
  for (int i = 0; i < kLanes; ++i) values[i] = (flags & 2) != 0 ? a[i] & 0x7FFFFFFF : a[i];
  reduce(w, d, values, m, [flags](U x, U y) {
    const float fx = float_of(x), fy = float_of(y);
    if (std::isnan(fx) || std::isnan(fy)) {
      if ((flags & 4) != 0 || (std::isnan(fx) && std::isnan(fy))) return 0x7FFFFFFFu;
      return std::isnan(fx) ? y : x;
    }
    if (fx == fy) return (flags & 1) != 0 ? x & y : x | y;  // -0 is less than +0
    return ((flags & 1) != 0 ? fx > fy : fx < fy) ? x : y;
  });
  for_lanes(w->mask, [&](int lane) { d[lane] = canonical(d[lane]); });
}

static void octavo_elect(Warp* warp, U* leader, U* elected, const U* members) {
  for_lanes(warp->mask, [&](int lane) {
    const U group = participants(*warp, members, lane);
    leader[lane] = static_cast<U>(group == 0 ? 0 : __builtin_ctz(group));
    elected[lane] = leader[lane] == static_cast<U>(lane) ? ~0u : 0;
  });
}

// Lanes 8m..8m+7 name the rows of 8x8 matrix m of 16-bit elements; result is [matrix][32], and
// undefined the lanes of each matrix in which neither element is defined.
static void octavo_ldmatrix(Warp* warp, U* result, const std::uint64_t* address,
                            std::int64_t offset, std::uint32_t matrices, std::uint32_t transpose,
                            std::uint32_t generic, U* undefined) {
  U all = 0;
  for (std::uint32_t m = 0; m < matrices; ++m) {
    std::uint16_t rows[8][8];
    U holds_nothing[8] = {};  // of each row: its elements
    bool any = false;
    for (std::uint32_t r = 0; r < 8; ++r) {
      const auto lane = static_cast<int>(8 * m + r);
      const std::uint64_t at = address[lane] + static_cast<std::uint64_t>(offset);
      const std::byte* from = generic != 0 ? resolve_generic(*warp, lane, at, 16, 16, Access::read)
                                           : resolve_shared(*warp, lane, at, 16, 16);
      note_access(*warp, lane, from, 16, Access::read);
      std::memcpy(rows[r], from, 16);
      const DefinedBytes* memory = find_defined(*warp, from);
      if (memory == nullptr || memory->all(from, 16)) continue;
      any = true;
      for (U i = 0; i < 8; ++i)
        holds_nothing[r] |= static_cast<U>(memory->none(from + 2 * i, 2)) << i;
    }
    undefined[m] = 0;
    for (U lane = 0; lane < kLanes; ++lane) {
      const U g = lane / 4, t = lane % 4 * 2;
      const U low = transpose != 0 ? rows[t][g] : rows[g][t];
      const U high = transpose != 0 ? rows[t + 1][g] : rows[g][t + 1];
      result[m * kLanes + lane] = low | high << 16;
      if (!any) continue;
      const auto nothing = [&](U row, U column) {
        return transpose != 0 ? holds_nothing[column] >> row & 1 : holds_nothing[row] >> column & 1;
      };
      if (nothing(g, t) != 0 && nothing(g, t + 1) != 0) undefined[m] |= 1u << lane;
    }
    all |= undefined[m];
  }
  if (all != 0) note_undefined(*warp, all);
}

// undefined: the lanes of each matrix in which its register is.
static void octavo_stmatrix(Warp* warp, const U* values, const std::uint64_t* address,
                            std::int64_t offset, std::uint32_t matrices, std::uint32_t transpose,
                            std::uint32_t generic, const U* undefined) {
  warp->advanced = true;
  for (std::uint32_t m = 0; m < matrices; ++m) {
    std::uint16_t rows[8][8];
    for (U lane = 0; lane < kLanes; ++lane) {
      const U g = lane / 4, t = lane % 4 * 2, value = values[m * kLanes + lane];
      (transpose != 0 ? rows[t][g] : rows[g][t]) = static_cast<std::uint16_t>(value);
      (transpose != 0 ? rows[t + 1][g] : rows[g][t + 1]) = static_cast<std::uint16_t>(value >> 16);
    }
    for (std::uint32_t r = 0; r < 8; ++r) {
      const auto lane = static_cast<int>(8 * m + r);
      const std::uint64_t at = address[lane] + static_cast<std::uint64_t>(offset);
      std::byte* to = generic != 0 ? resolve_generic(*warp, lane, at, 16, 16, Access::write)
                                   : resolve_shared(*warp, lane, at, 16, 16);
      note_access(*warp, lane, to, 16, Access::write);
      std::memcpy(to, rows[r], 16);
      set_defined(*warp, to, 16);
      if (undefined[m] == 0) continue;
      for (U i = 0; i < 8; ++i) {
        const U row = transpose != 0 ? i : r, column = transpose != 0 ? r : i;
        if ((undefined[m] >> (4 * row + column / 2) & 1) != 0)
          set_defined(*warp, to + 2 * i, 2, false);
      }
    }
  }
}

static void octavo_movmatrix(U* result, const U* a) {
  std::uint16_t rows[8][8];
  for (U lane = 0; lane < kLanes; ++lane) {
    rows[lane / 4][lane % 4 * 2] = static_cast<std::uint16_t>(a[lane]);
    rows[lane / 4][lane % 4 * 2 + 1] = static_cast<std::uint16_t>(a[lane] >> 16);
  }
  for (U lane = 0; lane < kLanes; ++lane) {
    const U g = lane / 4, t = lane % 4 * 2;
    result[lane] = rows[t][g] | static_cast<U>(rows[t + 1][g]) << 16;
  }
}

std::span<const Helper> exchange_helpers() {
  static const Helper list[] = {
      OCTAVO_HELPER(octavo_shfl_up),        OCTAVO_HELPER(octavo_shfl_down),
      OCTAVO_HELPER(octavo_shfl_bfly),      OCTAVO_HELPER(octavo_shfl_idx),
      OCTAVO_HELPER(octavo_undefined_shfl), OCTAVO_HELPER(octavo_vote),
      OCTAVO_HELPER(octavo_match_any_32),   OCTAVO_HELPER(octavo_match_any_64),
      OCTAVO_HELPER(octavo_match_all_32),   OCTAVO_HELPER(octavo_match_all_64),
      OCTAVO_HELPER(octavo_redux_add),      OCTAVO_HELPER(octavo_redux_and),
      OCTAVO_HELPER(octavo_redux_or),       OCTAVO_HELPER(octavo_redux_xor),
      OCTAVO_HELPER(octavo_redux_umin),     OCTAVO_HELPER(octavo_redux_umax),
      OCTAVO_HELPER(octavo_redux_smin),     OCTAVO_HELPER(octavo_redux_smax),
      OCTAVO_HELPER(octavo_redux_f32),      OCTAVO_HELPER(octavo_elect),
      OCTAVO_HELPER(octavo_ldmatrix),       OCTAVO_HELPER(octavo_stmatrix),
      OCTAVO_HELPER(octavo_movmatrix)};
  return list;
}

}  // namespace octavo::emulator
