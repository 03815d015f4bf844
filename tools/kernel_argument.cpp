#include "tools/kernel_argument.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string_view>

#include "runtime/error.hpp"
#include "tools/file.hpp"
#include "tools/reference/formats.hpp"

namespace octavo {
namespace {

bool is_float(const ElementType& type) { return type.name.front() == 'f'; }

std::uint64_t float_bits(const ElementType& type, double value) {
  if (type.bytes == 8) return std::bit_cast<std::uint64_t>(value);
  if (type.bytes == 4) return std::bit_cast<std::uint32_t>(static_cast<float>(value));
  return reference::encode(DataType::fp16, value);
}

class Parser {
 public:
  explicit Parser(const std::string& spec) : spec_(spec), rest_(spec) {}

  KernelArgument parse() {
    KernelArgument argument{.spec = spec_, .value = {}, .buffer = {}};
    const std::string_view kind = word();
    if (kind == "buf") {
      argument.buffer = buffer();
    } else if (kind == "bytes") {
      const std::string bytes = read_file(rest_);
      const auto* data = reinterpret_cast<const std::byte*>(bytes.data());
      argument.value.assign(data, data + bytes.size());
    } else {
      argument.value = scalar(type_named(kind));
    }
    return argument;
  }

 private:
  [[noreturn]] void fail(std::string_view what) const {
    throw UsageError(fmt::format("--arg {}: {}", spec_, what));
  }

  // Up to the next colon, which goes too.
  std::string_view word() {
    const std::size_t colon = rest_.find(':');
    if (colon == std::string_view::npos)
      fail("expected TYPE:VALUE, buf:TYPE:COUNT, buf:FILE.npy or bytes:FILE");
    const std::string_view word = rest_.substr(0, colon);
    rest_.remove_prefix(colon + 1);
    return word;
  }

  const ElementType& type_named(std::string_view name) const {
    const auto types = element_types();
    const auto found = std::ranges::find(types, name, &ElementType::name);
    if (found != types.end()) return *found;
    std::vector<std::string_view> known;
    for (const ElementType& type : types) known.push_back(type.name);
    fail(fmt::format("there is no type {}; expected {}, buf or bytes", name,
                     fmt::join(known, ", ")));
  }

  template <typename Number>
  Number number(std::string_view text, std::string_view what) const {
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc::result_out_of_range) fail(fmt::format("{} is out of range", text));
    if (error != std::errc() || end != text.data() + text.size())
      fail(fmt::format("expected {}, not \"{}\"", what, text));
    return value;
  }

  std::uint64_t integer(const ElementType& type) const {
    const int unused = 64 - 8 * static_cast<int>(type.bytes);
    if (type.name.front() == 'u') {
      const auto value = number<std::uint64_t>(rest_, "an integer that is not negative");
      if (value << unused >> unused != value) fail(fmt::format("{} is out of range", rest_));
      return value;
    }
    const auto value = number<std::int64_t>(rest_, "an integer");
    if (value << unused >> unused != value) fail(fmt::format("{} is out of range", rest_));
    return static_cast<std::uint64_t>(value);
  }

  std::vector<std::byte> scalar(const ElementType& type) const {
    const std::uint64_t bits =
        is_float(type) ? float_bits(type, number<double>(rest_, "a number")) : integer(type);
    std::vector<std::byte> bytes(type.bytes);
    std::memcpy(bytes.data(), &bits, bytes.size());
    return bytes;
  }

  Array buffer() {
    if (rest_.ends_with(".npy")) return read_npy(rest_);
    Array array;
    array.type = &type_named(word());
    const std::size_t colon = std::min(rest_.find(':'), rest_.size());
    const auto count = number<std::size_t>(rest_.substr(0, colon), "a count of elements");
    // The buffer is once on the host and once on the device.
    const double present =
        static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
    if (2.0 * static_cast<double>(count) * static_cast<double>(array.type->bytes) > 0.9 * present)
      fail(fmt::format("is too large for the {:.1f} GiB of memory here", present / 0x1p30));
    array.shape = {count};
    array.data.resize(count * array.type->bytes);
    rest_.remove_prefix(std::min(colon + 1, rest_.size()));
    if (!rest_.empty()) fill_uniform(array, seed());
    return array;
  }

  std::uint64_t seed() const {
    constexpr std::string_view kBegin = "uniform(", kEnd = ")";
    if (!rest_.starts_with(kBegin) || !rest_.ends_with(kEnd)) fail("expected uniform(SEED)");
    const auto text = rest_.substr(kBegin.size(), rest_.size() - kBegin.size() - kEnd.size());
    return number<std::uint64_t>(text, "a seed");
  }

  static void fill_uniform(Array& array, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    const std::size_t bytes = array.type->bytes;
    for (std::size_t at = 0; at < array.data.size(); at += bytes) {
      std::uint64_t bits = random();
      if (is_float(*array.type)) {
        // As many leading bits as the format holds exactly.
        const int digits = bytes == 8 ? 53 : bytes == 4 ? 24 : 11;
        bits = float_bits(*array.type,
                          std::ldexp(static_cast<double>(bits >> (64 - digits)), -digits));
      }
      std::memcpy(array.data.data() + at, &bits, bytes);
    }
  }

  const std::string& spec_;
  std::string_view rest_;
};

}  // namespace

KernelArgument parse_kernel_argument(const std::string& spec) { return Parser(spec).parse(); }

}  // namespace octavo
