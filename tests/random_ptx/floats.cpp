#include "floats.hpp"

#include <bit>
#include <cfenv>
#include <cmath>
#include <limits>

namespace octavo::emulator::random_ptx {
namespace {

using ptx::Instruction;
using ptx::Type;
using std::uint32_t;
using std::uint64_t;

// Rounds as the instruction's modifier says while it lives.
class Rounded {
 public:
  explicit Rounded(const Instruction& instruction) {
    const auto either = [&](const char* number, const char* integer) {
      return instruction.has(number) || instruction.has(integer);
    };
    std::fesetround(either("rz", "rzi")   ? FE_TOWARDZERO
                    : either("rm", "rmi") ? FE_DOWNWARD
                    : either("rp", "rpi") ? FE_UPWARD
                                          : FE_TONEAREST);
  }
  ~Rounded() { std::fesetround(FE_TONEAREST); }
  Rounded(const Rounded&) = delete;
  Rounded& operator=(const Rounded&) = delete;
};

bool rounds_to_integer(const Instruction& instruction) {
  return instruction.has("rni") || instruction.has("rzi") || instruction.has("rmi") ||
         instruction.has("rpi");
}

float flushed(float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.f, x) : x; }

// A format of 16 bits, by its exponent and fraction bits. fesetround chooses the direction.
uint64_t narrowed(double x, int exponent_bits, int fraction_bits) {
  const uint64_t sign = std::signbit(x) ? 0x8000 : 0;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const uint64_t infinity = ((uint64_t{1} << exponent_bits) - 1) << fraction_bits;
  if (std::isnan(x)) return 0x7FFF;
  if (std::isinf(x)) return sign | infinity;
  if (x == 0) return sign;
  const int exponent = std::max(std::ilogb(x), 1 - bias);
  // In units of the last place; nearbyint rounds as fesetround says, and so must see the sign.
  const double units = std::fabs(std::nearbyint(std::ldexp(x, fraction_bits - exponent)));
  const uint64_t bits =
      (static_cast<uint64_t>(exponent + bias - 1) << fraction_bits) + static_cast<uint64_t>(units);
  if (bits < infinity) return sign | bits;
  const int mode = std::fegetround();
  const bool up =
      mode == FE_TONEAREST || (mode == FE_UPWARD && !sign) || (mode == FE_DOWNWARD && sign);
  return sign | (up ? infinity : infinity - 1);
}

double widened(uint64_t bits, int exponent_bits, int fraction_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1, top = (1 << exponent_bits) - 1;
  const int field = static_cast<int>(bits >> fraction_bits) & top;
  const uint64_t fraction = bits & ((uint64_t{1} << fraction_bits) - 1);
  const double sign = bits & 0x8000 ? -1 : 1;
  if (field == top)
    return fraction ? std::numeric_limits<double>::quiet_NaN()
                    : sign * std::numeric_limits<double>::infinity();
  const uint64_t significand = fraction | (field ? uint64_t{1} << fraction_bits : 0);
  return sign *
         std::ldexp(static_cast<double>(significand), std::max(field, 1) - bias - fraction_bits);
}

// Encodes in the given type as fesetround rounds.
uint64_t encoded(double x, Type type, bool ftz) {
  if (type == Type::f64) return std::bit_cast<uint64_t>(x);
  if (type == Type::f16) return narrowed(x, 5, 10);
  if (type == Type::bf16) return narrowed(x, 8, 7);
  const volatile double exact = x;  // so that the conversion happens here, in this rounding
  const auto rounded = static_cast<float>(exact);
  if (std::isnan(rounded)) return 0x7FFFFFFF;
  return std::bit_cast<uint32_t>(ftz ? flushed(rounded) : rounded);
}

// One operation in T, which rounds once.
template <class T>
T operate(const std::string& opcode, T a, T b, T c) {
  const volatile T x = a, y = b, z = c;
  if (opcode == "add") return x + y;
  if (opcode == "sub") return x - y;
  if (opcode == "mul") return x * y;
  if (opcode == "div") return x / y;
  if (opcode == "rcp") return T{1} / x;
  if (opcode == "sqrt") return std::sqrt(x);
  return std::fma(x, y, z);  // fma, mad
}

// a * b + c of 16-bit formats. The product is exact in a double; of a sum that is not, the last bit
// is made odd, so that rounding it to fewer bits is right (Boldo and Melquiond).
double multiply_add(double a, double b, double c) {
  const double product = a * b, sum = product + c;
  if (!std::isfinite(sum)) return sum;
  const double added = sum - product;
  const double error = (product - (sum - added)) + (c - added);
  if (error == 0 || (std::bit_cast<uint64_t>(sum) & 1)) return sum;
  return std::nextafter(sum, std::copysign(std::numeric_limits<double>::infinity(), error));
}

double operate16(const std::string& opcode, double a, double b, double c) {
  if (opcode == "add") return multiply_add(a, 1, b);
  if (opcode == "sub") return multiply_add(a, 1, -b);
  return opcode == "mul" ? a * b : multiply_add(a, b, c);
}

double minimum(double a, double b) {
  if (std::isnan(a)) return b;
  if (std::isnan(b)) return a;
  if (a == b) return std::signbit(a) ? a : b;
  return a < b ? a : b;
}

// .sat and .relu.
double clamped(const Instruction& instruction, double x) {
  if (instruction.has("sat")) return std::isnan(x) || x <= 0 ? 0 : x > 1 ? 1 : x;
  return instruction.has("relu") && x <= 0 ? 0 : x;
}

uint64_t to_integer(const Instruction& instruction, double x, Type from, Type to) {
  if (std::isnan(x)) {
    const bool zero = from != Type::f64 && width_of(to) != 64;
    return zero ? 0 : uint64_t{1} << (width_of(to) - 1);
  }
  const Rounded rounded(instruction);
  const double integer = std::nearbyint(x);
  const int bits = width_of(to) - is_signed(to);
  if (integer >= std::ldexp(1., bits)) return ~uint64_t{0} >> (64 - bits);
  if (integer < (is_signed(to) ? -std::ldexp(1., bits) : 0))
    return is_signed(to) ? uint64_t{1} << bits : 0;
  return static_cast<uint64_t>(static_cast<Wide>(integer));
}

// Volatile, so that no conversion leaves the scope of its rounding.
uint64_t from_integer(const Instruction& instruction, Wide x, Type to) {
  const Rounded rounded(instruction);
  const volatile auto bits = static_cast<uint64_t>(x);
  const volatile auto negative = static_cast<std::int64_t>(bits);
  if (to == Type::f64)
    return std::bit_cast<uint64_t>(x < 0 ? static_cast<double>(negative)
                                         : static_cast<double>(bits));
  if (to == Type::f32)
    return std::bit_cast<uint32_t>(x < 0 ? static_cast<float>(negative) : static_cast<float>(bits));
  return encoded(x < 0 ? static_cast<double>(negative) : static_cast<double>(bits), to, false);
}

}  // namespace

double number_of(uint64_t bits, Type type, bool ftz) {
  if (type == Type::f64) return std::bit_cast<double>(bits);
  if (type == Type::f16) return widened(bits, 5, 10);
  if (type == Type::bf16) return widened(bits, 8, 7);
  const auto x = std::bit_cast<float>(static_cast<uint32_t>(bits));
  return static_cast<double>(ftz ? flushed(x) : x);
}

std::optional<uint64_t> evaluate_float(const Instruction& instruction, Sources s) {
  const std::string& opcode = instruction.opcode;
  const Type type = instruction.type();
  const bool ftz = instruction.has("ftz");
  const auto x = [&](std::size_t i) { return i < s.size() ? number_of(s[i], type, ftz) : 0; };
  const auto result = [&](double y) { return encoded(clamped(instruction, y), type, ftz); };
  // Signs are the bits', of NaN too.
  const uint64_t sign = uint64_t{1} << (width_of(type) - 1);
  if (opcode == "neg" || opcode == "abs") {
    const double y = opcode == "neg" ? -x(0) : std::fabs(x(0));
    if (!std::isnan(y)) return result(y);
    return opcode == "neg" ? s[0] ^ sign : s[0] & ~sign;
  }
  if (instruction.has("NaN") && (std::isnan(x(0)) || std::isnan(x(1)))) return result(NAN);
  if (opcode == "min") return result(minimum(x(0), x(1)));
  if (opcode == "max") return result(-minimum(-x(0), -x(1)));
  if (opcode == "copysign") return (s[0] & sign) | (s[1] & (sign - 1));
  for (const char* known : {"add", "sub", "mul", "div", "rcp", "sqrt", "fma", "mad"}) {
    if (opcode != known) continue;
    const Rounded rounded(instruction);
    if (type == Type::f32)
      return result(static_cast<double>(operate(
          opcode, static_cast<float>(x(0)), static_cast<float>(x(1)), static_cast<float>(x(2)))));
    if (type == Type::f64) return result(operate(opcode, x(0), x(1), x(2)));
    return result(operate16(opcode, x(0), x(1), x(2)));
  }
  return std::nullopt;
}

uint64_t convert(const Instruction& instruction, uint64_t source) {
  const Type to = instruction.type(0), from = instruction.type(1);
  const bool ftz = instruction.has("ftz");
  if (!is_float(to) && !is_float(from)) {
    const Wide value = value_of(source, from);
    if (!instruction.has("sat")) return static_cast<uint64_t>(value);
    const Wide highest = (Wide{1} << (is_signed(to) ? width_of(to) - 1 : width_of(to))) - 1;
    const Wide lowest = is_signed(to) ? -highest - 1 : 0;
    return static_cast<uint64_t>(value < lowest ? lowest : value > highest ? highest : value);
  }
  if (!is_float(from)) return from_integer(instruction, value_of(source, from), to);
  double x = number_of(source, from, ftz);
  if (!is_float(to)) return to_integer(instruction, x, from, to);
  const Rounded rounded(instruction);
  if (rounds_to_integer(instruction)) x = std::nearbyint(x);
  return encoded(clamped(instruction, x), to, ftz);
}

}  // namespace octavo::emulator::random_ptx
