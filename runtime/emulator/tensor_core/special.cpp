#include "tensor_core/special.hpp"

#include <algorithm>

#include "tensor_core/special_unit.hpp"

namespace octavo::emulator::tensor_core {
namespace {

constexpr int kLanes = 32;

// --- without .ftz: what ptxas makes of them for sm_90, fp32 scaling around the unit's function

template <Ints8 (*kUnit)(Ints8)>
OCTAVO_INLINE Floats8 unit(Floats8 x) {
  return bits_of<Floats8>(kUnit(bits_of<Ints8>(x)));
}

OCTAVO_INLINE Ints8 is_subnormal(Floats8 x) { return (bits_of<Ints8>(x) & ~kSign) < kLowestNormal; }

OCTAVO_INLINE Floats8 ex2(Floats8 x) {
  const Ints8 small = x < -126.0f;
  const Floats8 y = unit<unit_ex2>(small ? x * 0.5f : x);
  return small ? y * y : y;
}

OCTAVO_INLINE Floats8 lg2(Floats8 x) {
  const Ints8 small = is_subnormal(x);
  const Floats8 y = unit<unit_lg2>(small ? x * 0x1p24f : x);
  return small ? y - 24.0f : y;
}

OCTAVO_INLINE Floats8 rcp(Floats8 x) {
  const Floats8 magnitude = bits_of<Floats8>(bits_of<Ints8>(x) & ~kSign);
  const Floats8 one = Floats8{} + 1.0f;
  const Floats8 scale =
      magnitude > 0x1p126f ? one * 0.25f : (is_subnormal(x) ? one * 0x1p24f : one);
  return unit<unit_rcp>(x * scale) * scale;
}

OCTAVO_INLINE Floats8 rsqrt(Floats8 x) {
  const Ints8 small = is_subnormal(x);
  const Floats8 y = unit<unit_rsqrt>(small ? x * 0x1p24f : x);
  return small ? y * 0x1p12f : y;
}

OCTAVO_INLINE Floats8 sqrt(Floats8 x) {
  const Ints8 small = is_subnormal(x);
  const Floats8 y = unit<unit_sqrt>(small ? x * 0x1p24f : x);
  return small ? y * 0x1p-12f : y;
}

// --- the 16-bit forms: the unit's result toward zero, as an fp32

template <Ints8 (*kUnit)(Ints8)>
OCTAVO_INLINE Floats8 in_bf16(Floats8 x) {
  return bits_of<Floats8>(kUnit(bits_of<Ints8>(x)) & ~0xFFFF);
}

template <Ints8 (*kUnit)(Ints8)>
OCTAVO_INLINE Floats8 in_f16(Floats8 x) {
  const Ints8 bits = kUnit(bits_of<Ints8>(x)), magnitude = bits & ~kSign;
  const auto y = bits_of<Floats8>(bits);
  const Ints8 subnormal = bits_of<Floats8>(magnitude) < 0x1p-14f;
  const Floats8 units = (subnormal ? y : Floats8{}) * 0x1p24f;
  const Floats8 truncated =
      __builtin_convertvector(__builtin_convertvector(units, Ints8), Floats8) * 0x1p-24f;
  const Ints8 rounded =
      choose(subnormal, bits_of<Ints8>(truncated) | (bits & kSign), bits & ~0x1FFF);
  const Ints8 overflown = bits_of<Floats8>(magnitude) >= 65536.0f;
  return bits_of<Floats8>(choose(overflown, kInfinity | (bits & kSign), rounded));
}

template <Floats8 (*kFunction)(Floats8)>
OCTAVO_INLINE void all_lanes(float* y, const float* x) {
  for (int lane = 0; lane < kLanes; lane += 8) store(y + lane, kFunction(load<Floats8>(x + lane)));
}

template <Floats8 (*kFunction)(Floats8)>
void each_eight(float* y, const float* x) {
  vectorised<all_lanes<kFunction>>(y, x);
}

constexpr Special kTable[] = {
    {"ex2.approx.f32", each_eight<ex2>},
    {"ex2.approx.ftz.f32", each_eight<unit<unit_ex2>>},
    {"lg2.approx.f32", each_eight<lg2>},
    {"lg2.approx.ftz.f32", each_eight<unit<unit_lg2>>},
    {"rcp.approx.f32", each_eight<rcp>},
    {"rcp.approx.ftz.f32", each_eight<unit<unit_rcp>>},
    {"rsqrt.approx.f32", each_eight<rsqrt>},
    {"rsqrt.approx.ftz.f32", each_eight<unit<unit_rsqrt>>},
    {"sqrt.approx.f32", each_eight<sqrt>},
    {"sqrt.approx.ftz.f32", each_eight<unit<unit_sqrt>>},
    {"sin.approx.f32", each_eight<unit<unit_sin>>},
    {"sin.approx.ftz.f32", each_eight<unit<unit_sin>>},
    {"cos.approx.f32", each_eight<unit<unit_cos>>},
    {"cos.approx.ftz.f32", each_eight<unit<unit_cos>>},
    {"tanh.approx.f32", each_eight<unit<unit_tanh>>},
    {"ex2.approx.f16", each_eight<in_f16<unit_ex2>>},
    {"ex2.approx.ftz.bf16", each_eight<in_bf16<unit_ex2>>},
    {"tanh.approx.f16", each_eight<in_f16<unit_tanh>>},
    {"tanh.approx.bf16", each_eight<in_bf16<unit_tanh>>},
};

}  // namespace

std::span<const Special> special_table() { return kTable; }

const Special* find_special(std::string_view opcode) {
  const auto row = std::ranges::find(kTable, opcode, &Special::opcode);
  return row == std::end(kTable) ? nullptr : &*row;
}

}  // namespace octavo::emulator::tensor_core
