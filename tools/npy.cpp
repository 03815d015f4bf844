#include "tools/npy.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <regex>

#include "runtime/error.hpp"
#include "tools/file.hpp"

namespace octavo {
namespace {

constexpr std::string_view kMagic("\x93NUMPY", 6);
// NumPy's own headers of arrays like these have 118 bytes; a regex over a long one costs stack.
constexpr std::size_t kMostHeaderBytes = 1 << 12;

constexpr ElementType kTypes[] = {
    {"i8", "|i1", 1},  {"u8", "|u1", 1},  {"i16", "<i2", 2}, {"u16", "<u2", 2},
    {"i32", "<i4", 4}, {"u32", "<u4", 4}, {"i64", "<i8", 8}, {"u64", "<u8", 8},
    {"f16", "<f2", 2}, {"f32", "<f4", 4}, {"f64", "<f8", 8},
};

[[noreturn]] void fail(const std::string& file, std::string_view what) {
  throw UsageError(fmt::format("{}: {}", file, what));
}

std::string field(const std::string& header, const std::string& name, const std::string& pattern,
                  const std::string& file) {
  std::smatch match;
  if (!std::regex_search(header, match, std::regex("'" + name + "'\\s*:\\s*" + pattern)))
    fail(file, fmt::format("the header has no {}", name));
  return match[1];
}

// "3, 4," and the like.
std::vector<std::size_t> parse_shape(const std::string& text, const std::string& file) {
  static const std::regex list("\\s*(\\d{1,18}\\s*,\\s*)*(\\d{1,18}\\s*)?");
  if (!std::regex_match(text, list)) fail(file, "the shape is no list of sizes: " + text);
  std::vector<std::size_t> shape;
  static const std::regex number("\\d+");
  for (std::sregex_iterator at(text.begin(), text.end(), number), end; at != end; ++at)
    shape.push_back(std::stoull(at->str()));
  return shape;
}

std::size_t bytes_of(const Array& array, const std::string& file) {
  std::size_t bytes = array.type->bytes;
  for (const std::size_t size : array.shape) {
    if (__builtin_mul_overflow(bytes, size, &bytes)) fail(file, "the shape is too large");
  }
  return bytes;
}

}  // namespace

std::span<const ElementType> element_types() { return kTypes; }

Array parse_npy(std::span<const std::byte> bytes, const std::string& file) {
  const auto text = [&](std::size_t begin, std::size_t count) {
    if (begin > bytes.size() || count > bytes.size() - begin) fail(file, "the file is cut short");
    return std::string(reinterpret_cast<const char*>(bytes.data()) + begin, count);
  };
  if (bytes.size() < kMagic.size() || text(0, kMagic.size()) != kMagic)
    fail(file, "is no .npy file");
  const std::size_t version = static_cast<unsigned char>(text(kMagic.size(), 2)[0]);
  if (version < 1 || version > 3)
    fail(file, fmt::format("has version {}; expected 1 to 3", version));
  const std::size_t length_bytes = version == 1 ? 2 : 4;
  std::uint32_t length = 0;
  std::memcpy(&length, text(8, length_bytes).data(), length_bytes);
  if (length > kMostHeaderBytes) fail(file, fmt::format("a header of {} bytes", length));
  const std::string header = text(8 + length_bytes, length);

  Array array;
  if (field(header, "fortran_order", "(True|False)", file) == "True")
    fail(file, "is in Fortran order; expected C order, as np.ascontiguousarray gives");
  const std::string type = field(header, "descr", "'([^']*)'", file);
  const auto found = std::ranges::find(kTypes, type, &ElementType::numpy);
  if (found == std::end(kTypes)) {
    std::vector<std::string_view> known;
    for (const ElementType& each : kTypes) known.push_back(each.numpy);
    fail(file,
         fmt::format("has elements of type {}; expected one of {}", type, fmt::join(known, " ")));
  }
  array.type = found;
  array.shape = parse_shape(field(header, "shape", "\\(([^)]*)\\)", file), file);
  const auto data = bytes.subspan(8 + length_bytes + length);
  if (data.size() != bytes_of(array, file))
    fail(file, fmt::format("has {} bytes of data; its shape takes {}", data.size(),
                           bytes_of(array, file)));
  array.data.assign(data.begin(), data.end());
  return array;
}

Array read_npy(const std::filesystem::path& file) {
  const std::string bytes = read_file(file);
  return parse_npy(std::as_bytes(std::span(bytes)), file.string());
}

std::string to_npy(const Array& array) {
  std::string header =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}{}), }}", array.type->numpy,
                  fmt::join(array.shape, ", "), array.shape.size() == 1 ? "," : "");
  // The data begins at a multiple of 64.
  header.append(63 - (kMagic.size() + 4 + header.size()) % 64, ' ');
  header += '\n';
  const auto length = static_cast<std::uint16_t>(header.size());
  std::string bytes(kMagic);
  bytes += {'\1', '\0', static_cast<char>(length & 0xFF), static_cast<char>(length >> 8)};
  bytes += header;
  bytes.append(reinterpret_cast<const char*>(array.data.data()), array.data.size());
  return bytes;
}

}  // namespace octavo
