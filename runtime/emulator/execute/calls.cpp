// Functions of the device's runtime that kernels call: printf and assert.
#include <fmt/core.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "execute/access.hpp"
#include "execute/block.hpp"
#include "execute/helpers.hpp"

namespace octavo::emulator {
namespace {

constexpr std::size_t kLongestText = 4096;

void read_text(Warp& warp, int lane, std::uint64_t address, std::string& text) {
  while (text.size() < kLongestText) {
    const char c =
        static_cast<char>(*resolve_generic(warp, lane, address + text.size(), 1, 1, Access::read));
    if (c == '\0') return;
    text += c;
  }
}

template <typename T>
T read_argument(Warp& warp, int lane, std::uint64_t& address) {
  address = (address + sizeof(T) - 1) / sizeof(T) * sizeof(T);
  T value;
  std::memcpy(&value, resolve_generic(warp, lane, address, sizeof(T), sizeof(T), Access::read),
              sizeof(T));
  address += sizeof(T);
  return value;
}

template <typename T>
void append(std::string& out, const std::string& conversion, T value) {
  char text[512];
  const int length = std::snprintf(text, sizeof text, conversion.c_str(), value);
  if (length > 0)
    out.append(text, std::min<std::size_t>(static_cast<std::size_t>(length), sizeof text - 1));
}

// One conversion of printf's format that begins at format[at]; `arguments` walks the packed values.
std::size_t convert(Warp& warp, int lane, const std::string& format, std::size_t at,
                    std::uint64_t& arguments, std::string& out) {
  std::string conversion = "%";
  std::size_t i = at + 1;
  for (; i < format.size() && std::strchr("-+ #0.123456789*", format[i]) != nullptr; ++i) {
    if (format[i] != '*')
      conversion += format[i];
    else
      conversion += std::to_string(read_argument<int>(warp, lane, arguments));
  }
  bool wide = false;
  for (; i < format.size() && std::strchr("hlzjt", format[i]) != nullptr; ++i) {
    wide = wide || format[i] != 'h';
  }
  const char kind = i < format.size() ? format[i] : '\0';
  switch (kind) {
    case '%':
      out += '%';
      break;
    case 'd':
    case 'i':
    case 'u':
    case 'x':
    case 'X':
    case 'o':
      if (wide)
        append(out, conversion + "ll" + kind, read_argument<long long>(warp, lane, arguments));
      else
        append(out, conversion + kind, read_argument<int>(warp, lane, arguments));
      break;
    case 'c':
      append(out, conversion + kind, read_argument<int>(warp, lane, arguments));
      break;
    case 'p':
      append(out, conversion + kind,
             reinterpret_cast<void*>(read_argument<std::uint64_t>(warp, lane, arguments)));
      break;
    case 's': {
      std::string text;
      read_text(warp, lane, read_argument<std::uint64_t>(warp, lane, arguments), text);
      append(out, conversion + kind, text.c_str());
      break;
    }
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
    case 'a':
    case 'A':
      append(out, conversion + kind, read_argument<double>(warp, lane, arguments));
      break;
    default:
      out += format.substr(at, i + 1 - at);
  }
  return i + 1;
}

}  // namespace

// format and arguments are generic addresses; the result is the number of arguments, as CUDA says.
static void octavo_printf(Warp* warp, std::uint32_t mask, std::uint32_t* result,
                          const std::uint64_t* format_address,
                          const std::uint64_t* argument_address) {
  std::string out;
  for_lanes(mask, [&](int lane) {
    std::string format;
    read_text(*warp, lane, format_address[lane], format);
    std::uint64_t arguments = argument_address[lane];
    std::uint32_t conversions = 0;
    for (std::size_t i = 0; i < format.size();) {
      if (format[i] != '%') {
        out += format[i++];
      } else {
        conversions += i + 1 < format.size() && format[i + 1] != '%';
        i = convert(*warp, lane, format, i, arguments, out);
      }
    }
    result[lane] = conversions;
  });
  warp->block->launch->print(*warp->block, out);
}

static void octavo_assert(Warp* warp, std::uint32_t mask, const std::uint64_t* message,
                          const std::uint64_t* file, const std::uint32_t* line,
                          const std::uint64_t* function) {
  if (mask == 0) return;
  const int lane = __builtin_ctz(mask);
  const auto failed = [&] {
    std::string texts[3];
    read_text(*warp, lane, message[lane], texts[0]);
    read_text(*warp, lane, file[lane], texts[1]);
    read_text(*warp, lane, function[lane], texts[2]);
    return fmt::format("{:.200}:{}: {:.200}: assertion `{:.200}' failed", texts[1], line[lane],
                       texts[2], texts[0]);
  };
  fault(*warp, lane, failed, CUDA_ERROR_ASSERT);
}

static void octavo_malloc(Warp* warp, std::uint32_t mask, std::uint64_t* result,
                          const std::uint64_t* bytes) {
  for_lanes(mask, [&](int lane) {
    result[lane] = warp->block->launch->memory->allocate_heap(bytes[lane]);
  });
}

static void octavo_free(Warp* warp, std::uint32_t mask, const std::uint64_t* address) {
  for_lanes(mask, [&](int lane) {
    if (address[lane] == 0) return;
    std::string problem;
    try {
      return warp->block->launch->memory->release_heap(address[lane]);
    } catch (const Fault& what) {
      problem = what.what();
    }
    fault(*warp, lane, [&] { return std::move(problem); });
  });
}

std::span<const Helper> call_helpers() {
  static const Helper list[] = {OCTAVO_HELPER(octavo_printf), OCTAVO_HELPER(octavo_assert),
                                OCTAVO_HELPER(octavo_malloc), OCTAVO_HELPER(octavo_free)};
  return list;
}

}  // namespace octavo::emulator
