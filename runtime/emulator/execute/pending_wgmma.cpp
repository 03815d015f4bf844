// What a wgmma is called by: its word in compiled kernels, and the tags in its accumulators.
#include <cstring>

#include "execute/warp.hpp"
#include "execute/wgmma.hpp"

namespace octavo::emulator {

using tensor_core::Major;

std::uint32_t WgmmaCode::pack() const {
  std::uint32_t word = static_cast<std::uint32_t>(shape.n);
  int bit = 9;
  const auto put = [&](std::uint32_t value, int bits) {
    word |= value << bit;
    bit += bits;
  };
  put(static_cast<std::uint32_t>(shape.a), 3);
  put(static_cast<std::uint32_t>(shape.b), 3);
  put(static_cast<std::uint32_t>(shape.accumulator), 2);
  put(a_major == Major::mn, 1);
  put(b_major == Major::mn, 1);
  for (const bool flag : {a_in_registers, saturate, negate_a, negate_b}) put(flag, 1);
  return word;
}

WgmmaCode WgmmaCode::unpack(std::uint32_t word) {
  int bit = 0;
  const auto take = [&](int bits) {
    const std::uint32_t value = word >> bit & ((1u << bits) - 1);
    bit += bits;
    return value;
  };
  WgmmaCode code;
  code.shape.n = static_cast<int>(take(9));
  code.shape.a = static_cast<tensor_core::Element>(take(3));
  code.shape.b = static_cast<tensor_core::Element>(take(3));
  code.shape.accumulator = static_cast<tensor_core::Accumulator>(take(2));
  code.a_major = take(1) != 0 ? Major::mn : Major::k;
  code.b_major = take(1) != 0 ? Major::mn : Major::k;
  for (bool* flag : {&code.a_in_registers, &code.saturate, &code.negate_a, &code.negate_b})
    *flag = take(1) != 0;
  return code;
}

const PendingWgmma* WarpWgmmas::find_tag(std::uint32_t word) const {
  if (pending.empty()) return nullptr;
  const std::uint32_t age = (word / kRegisters - pending.front()->id) % kIds;
  if (age >= pending.size()) return nullptr;
  const PendingWgmma& wgmma = *pending[age];
  const auto registers = static_cast<std::uint32_t>(wgmma.code.shape.accumulator_registers());
  return word % kRegisters < registers ? &wgmma : nullptr;
}

std::uint32_t PendingWgmma::tag(std::uint32_t index) const {
  return WarpWgmmas::kTag | (id % WarpWgmmas::kIds) * WarpWgmmas::kRegisters | index;
}

void WarpWgmmas::renew(std::size_t count, std::uint32_t* lanes) const {
  const auto value_of = [&](std::uint32_t word) -> const std::uint32_t* {
    const PendingWgmma* wgmma = find(word);
    if (wgmma == nullptr || wgmma->id - pending.front()->id >= count) return nullptr;
    return &wgmma->d[word % kRegisters * kLanes];
  };
  // Mostly a register has come along whole.
  if (std::memcmp(lanes, lanes + 1, (kLanes - 1) * sizeof *lanes) == 0) {
    if (const std::uint32_t* value = value_of(lanes[0]))
      std::memcpy(lanes, value, kLanes * sizeof *lanes);
    return;
  }
  for (int lane = 0; lane < kLanes; ++lane)
    if (const std::uint32_t* value = value_of(lanes[lane])) lanes[lane] = value[lane];
}

void WarpWgmmas::renew_all(std::size_t count, std::vector<std::uint32_t>& registers) const {
  for (std::size_t i = 0; i < registers.size(); i += kLanes) renew(count, &registers[i]);
}

}  // namespace octavo::emulator
