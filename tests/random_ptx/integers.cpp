#include "integers.hpp"

#include <algorithm>

namespace octavo::emulator::random_ptx {
namespace {

using ptx::Instruction;
using ptx::Type;
using std::uint64_t;

__extension__ using UnsignedWide = unsigned __int128;

uint64_t bits_of(Wide value) { return static_cast<uint64_t>(value); }

bool bit(uint64_t x, int i) { return (x >> i) & 1; }

uint64_t multiply(const Instruction& instruction, Sources s) {
  const Type type = instruction.type();
  // Unsigned: that of two u64 does not fit a signed one, and the bits are the same.
  const auto product = static_cast<UnsignedWide>(value_of(s[0], type)) *
                       static_cast<UnsignedWide>(value_of(s[1], type));
  return static_cast<uint64_t>(instruction.has("hi") ? product >> width_of(type) : product);
}

uint64_t multiply_add(const Instruction& instruction, Sources s) {
  return multiply(instruction, s) + s[2];
}

uint64_t saturated(Wide value, Type type) {
  const int width = width_of(type);
  const Wide highest = (static_cast<Wide>(1) << (is_signed(type) ? width - 1 : width)) - 1;
  const Wide lowest = is_signed(type) ? -highest - 1 : 0;
  return bits_of(std::clamp(value, lowest, highest));
}

uint64_t shift_left(Type type, Sources s) {
  const auto amount = static_cast<std::uint32_t>(s[1]);
  return amount >= static_cast<std::uint32_t>(width_of(type)) ? 0 : s[0] << amount;
}

uint64_t shift_right(Type type, Sources s) {
  const auto amount = static_cast<std::uint32_t>(s[1]);
  return bits_of(value_of(s[0], type) >> std::min(amount, 64u));
}

uint64_t extract_field(Type type, Sources s) {
  const int highest = width_of(type) - 1;
  const int position = static_cast<int>(s[1] & 0xFF), length = static_cast<int>(s[2] & 0xFF);
  const bool sign =
      is_signed(type) && length != 0 && bit(s[0], std::min(position + length - 1, highest));
  uint64_t result = 0;
  for (int i = 0; i <= highest; ++i) {
    const bool inside = i < length && position + i <= highest;
    if (inside ? bit(s[0], position + i) : sign) result |= uint64_t{1} << i;
  }
  return result;
}

uint64_t insert_field(Type type, Sources s) {
  const int highest = width_of(type) - 1;
  const int position = static_cast<int>(s[2] & 0xFF), length = static_cast<int>(s[3] & 0xFF);
  uint64_t result = s[1];
  for (int i = 0; i < length && position + i <= highest; ++i) {
    const uint64_t mask = uint64_t{1} << (position + i);
    result = bit(s[0], i) ? result | mask : result & ~mask;
  }
  return result;
}

uint64_t reversed(Type type, uint64_t x) {
  uint64_t result = 0;
  for (int i = 0; i < width_of(type); ++i)
    if (bit(x, i)) result |= uint64_t{1} << (width_of(type) - 1 - i);
  return result;
}

uint64_t ones(Type type, uint64_t x) {
  uint64_t count = 0;
  for (int i = 0; i < width_of(type); ++i) count += bit(x, i);
  return count;
}

uint64_t leading_zeros(Type type, uint64_t x) {
  uint64_t count = 0;
  for (int i = width_of(type) - 1; i >= 0 && !bit(x, i); --i) ++count;
  return count;
}

// The highest bit that is not a copy of the sign; -1 if there is none.
uint64_t find_highest(const Instruction& instruction, Type type, uint64_t x) {
  const int highest = width_of(type) - 1;
  const bool sign = is_signed(type) && bit(x, highest);
  for (int i = highest; i >= 0; --i)
    if (bit(x, i) != sign)
      return static_cast<uint64_t>(instruction.has("shiftamt") ? highest - i : i);
  return ~uint64_t{0};
}

uint64_t lookup(Sources s) {
  uint64_t result = 0;
  for (int i = 0; i < 32; ++i) {
    const int index = (bit(s[0], i) ? 4 : 0) | (bit(s[1], i) ? 2 : 0) | (bit(s[2], i) ? 1 : 0);
    if (bit(s[3], index)) result |= uint64_t{1} << i;
  }
  return result;
}

uint64_t permute(Sources s) {
  const uint64_t bytes = (s[0] & 0xFFFFFFFF) | s[1] << 32;
  uint64_t result = 0;
  for (int i = 0; i < 4; ++i) {
    const uint64_t selector = (s[2] >> (4 * i)) & 0xF;
    uint64_t byte = (bytes >> (8 * (selector & 7))) & 0xFF;
    if (selector & 8) byte = byte & 0x80 ? 0xFF : 0;
    result |= byte << (8 * i);
  }
  return result;
}

uint64_t funnel(const Instruction& instruction, Sources s) {
  const uint64_t joined = (s[0] & 0xFFFFFFFF) | s[1] << 32;
  const auto amount = static_cast<std::uint32_t>(s[2]);
  const std::uint32_t n = instruction.has("clamp") ? std::min(amount, 32u) : amount & 31;
  return instruction.has("l") ? joined << n >> 32 : joined >> n;
}

}  // namespace

std::optional<uint64_t> evaluate_integer(const Instruction& instruction, Sources s) {
  const std::string& opcode = instruction.opcode;
  const Type type = instruction.type();
  const auto value = [&](std::size_t i) { return value_of(s[i], type); };

  if (opcode == "add")
    return instruction.has("sat") ? saturated(value(0) + value(1), type) : s[0] + s[1];
  if (opcode == "sub")
    return instruction.has("sat") ? saturated(value(0) - value(1), type) : s[0] - s[1];
  if (opcode == "mul") return multiply(instruction, s);
  if (opcode == "mad") return multiply_add(instruction, s);
  // Dividing by zero is unspecified: no program here may do it.
  if ((opcode == "div" || opcode == "rem") && value(1) == 0) return std::nullopt;
  if (opcode == "div") return bits_of(value(0) / value(1));
  if (opcode == "rem") return bits_of(value(0) % value(1));
  if (opcode == "abs") return bits_of(value(0) < 0 ? -value(0) : value(0));
  if (opcode == "neg") return 0 - s[0];
  if (opcode == "min") return bits_of(std::min(value(0), value(1)));
  if (opcode == "max") return bits_of(std::max(value(0), value(1)));
  if (opcode == "sad")
    return s[2] + bits_of(std::max(value(0), value(1)) - std::min(value(0), value(1)));
  if (opcode == "and") return s[0] & s[1];
  if (opcode == "or") return s[0] | s[1];
  if (opcode == "xor") return s[0] ^ s[1];
  if (opcode == "not") return type == Type::pred ? s[0] ^ 1 : ~s[0];
  if (opcode == "cnot") return value(0) == 0;
  if (opcode == "shl") return shift_left(type, s);
  if (opcode == "shr") return shift_right(type, s);
  if (opcode == "shf") return funnel(instruction, s);
  if (opcode == "bfe") return extract_field(type, s);
  if (opcode == "bfi") return insert_field(type, s);
  if (opcode == "brev") return reversed(type, s[0]);
  if (opcode == "popc") return ones(type, s[0]);
  if (opcode == "clz") return leading_zeros(type, s[0]);
  if (opcode == "bfind") return find_highest(instruction, type, s[0]);
  if (opcode == "lop3") return lookup(s);
  if (opcode == "prmt") return permute(s);
  return std::nullopt;
}

}  // namespace octavo::emulator::random_ptx
