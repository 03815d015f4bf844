#include "driver/image.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cstring>
#include <string>

#include "fault.hpp"
#include "ptx/lexer.hpp"

namespace octavo::emulator::driver {
namespace {

using namespace std::string_view_literals;

constexpr int kNewestPtx = 9;  // major version of the ISA

struct Target {
  int version = 0;    // 90
  char suffix = ' ';  // 'a': this very architecture, 'f': its family
};

Target parse_target(std::string_view name, int line) {
  Target target;
  const std::string_view number = name.starts_with("sm_") ? name.substr(3) : name;
  const char* end = number.data() + number.size();
  const auto [rest, error] = std::from_chars(number.data(), end, target.version);
  const bool suffixed = end - rest == 1 && (*rest == 'a' || *rest == 'f');
  if (suffixed) target.suffix = *rest;
  if (!name.starts_with("sm_") || error != std::errc() || (rest != end && !suffixed)) {
    ptx::Lexer::fail(line, fmt::format("`{}`: expected an architecture such as sm_90a", name));
  }
  return target;
}

bool runs_on(const Target& target, int compute_capability) {
  if (target.suffix == 'a') return target.version == compute_capability;
  if (target.suffix == 'f' && target.version / 10 != compute_capability / 10) return false;
  return target.version <= compute_capability;
}

// Reads ".version 9.0 .target sm_90a" from the start of the text.
void check_header(Image& image, const DeviceModel& model) {
  ptx::Lexer lexer(image.ptx);
  if (!lexer.accept_directive("version")) lexer.fail_expected("`.version` first");
  const ptx::Token version = lexer.take();
  int major = 0;
  std::from_chars(version.text.data(), version.text.data() + version.text.size(), major);
  if (major > kNewestPtx) {
    throw Fault(CUDA_ERROR_UNSUPPORTED_PTX_VERSION,
                fmt::format("line {}: PTX ISA {}: expected at most {}.x", version.line,
                            version.text, kNewestPtx));
  }
  if (!lexer.accept_directive("target")) lexer.fail_expected("`.target` after `.version`");
  const ptx::Token name = lexer.take();
  const Target target = parse_target(name.text, name.line);
  image.version = target.version;
  if (!runs_on(target, model.compute_capability)) {
    throw Fault(CUDA_ERROR_INVALID_PTX,
                fmt::format("line {}: .target {} does not run on {}, which is sm_{}", name.line,
                            name.text, model.name, model.compute_capability));
  }
}

}  // namespace

Image read_image(const void* data, const DeviceModel& model) {
  const char* bytes = static_cast<const char*>(data);
  for (const std::string_view magic : {"\x7f"
                                       "ELF"sv,
                                       "\x50\xed\x55\xba"sv, "\xb1\x43\x62\x46"sv}) {
    if (std::strncmp(bytes, magic.data(), magic.size()) == 0) {
      throw Fault(CUDA_ERROR_NO_BINARY_FOR_GPU,
                  "image: expected PTX text, this is machine code, which only a GPU runs");
    }
  }
  Image image;
  image.ptx = bytes;
  const std::size_t start = image.ptx.find_first_not_of(" \t\r\n\f\v");
  const bool text =
      start != std::string_view::npos && (image.ptx[start] == '.' || image.ptx[start] == '/');
  if (!text) throw Fault(CUDA_ERROR_INVALID_IMAGE, "image: expected PTX text");
  check_header(image, model);
  return image;
}

}  // namespace octavo::emulator::driver
