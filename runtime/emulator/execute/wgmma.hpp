// wgmma from its issue to its wait. Each warp of a warpgroup multiplies its own 16 rows. Until the
// wait, its accumulator registers hold tags, NaNs that name the wgmma and the register, so that
// moves carry them along; the wait replaces them wherever they are.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "tensor_core/matrix_descriptor.hpp"
#include "tensor_core/wgmma.hpp"

namespace octavo::emulator {

struct Warp;

// What the instruction says of itself; compiled kernels hold it in one word.
struct WgmmaCode {
  tensor_core::WgmmaShape shape;
  bool a_in_registers = false, saturate = false, negate_a = false, negate_b = false;
  tensor_core::Major a_major = tensor_core::Major::k, b_major = tensor_core::Major::k;

  std::uint32_t pack() const;
  static WgmmaCode unpack(std::uint32_t word);
};

struct PendingWgmma {
  WgmmaCode code;
  std::int32_t line;
  std::uint32_t id, group;  // groups that the warp had committed before
  bool accumulates;         // else c is zero
  bool performed = false;
  std::uint32_t a_words[tensor_core::kWgmmaWords];  // where A is in registers
  tensor_core::MatrixDescriptor a, b;
  std::vector<std::uint32_t> d;  // c, which may hold the tags of earlier ones; then the result

  std::uint32_t tag(std::uint32_t index) const;  // of this register of d
};

// Of one warp.
struct WarpWgmmas {
  std::deque<std::unique_ptr<PendingWgmma>> pending;  // by id, each one more than the last
  std::uint32_t next_id = 0;
  std::uint64_t issued = 0;
  bool fenced = false;  // ever

  // The wgmma whose tag this is, or nullptr. A tag is a signalling NaN, which no arithmetic gives,
  // with 14 bits of the id and 7 of the register's number.
  const PendingWgmma* find(std::uint32_t word) const {
    return (word & kTagMask) == kTag ? find_tag(word) : nullptr;
  }
  static constexpr std::uint32_t kTag = 0xFFA00000, kTagMask = 0xFFE00000;
  static constexpr std::uint32_t kIds = 1 << 14, kRegisters = 1 << 7;  // that a tag can tell

  // Replaces the tags of the first `count` pending ones by their values, in one register.
  void renew(std::size_t count, std::uint32_t* lanes) const;
  void renew_all(std::size_t count, std::vector<std::uint32_t>& registers) const;

 private:
  const PendingWgmma* find_tag(std::uint32_t word) const;
};

}  // namespace octavo::emulator
