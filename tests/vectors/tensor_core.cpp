// What real GPUs' tensor cores computed, bit for bit.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "recordings.hpp"
#include "tensor_core/fused_dot.hpp"
#include "tensor_core/wgmma.hpp"

namespace octavo::emulator::tensor_core {
namespace {

std::optional<Element> element_named(const std::string& name) {
  if (name == "f16") return Element::f16;
  if (name == "bf16") return Element::bf16;
  if (name == "tf32") return Element::tf32;
  if (name == "e4m3") return Element::e4m3;
  if (name == "e5m2") return Element::e5m2;
  return std::nullopt;
}

struct VectorFile {
  Instruction instruction{};
  const DotModel* model = nullptr;
  Element a{}, b{};
  Accumulator accumulator{};
};

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

// What "sm_90-h100.wgmma.e4m3xe5m2.f32.all-finite.c-wide.k32.txt" says of itself.
std::optional<VectorFile> describe(const std::string& name) {
  const auto parts = split(name, '.');
  int device = 0;
  if ((parts.size() != 5 && parts.size() != 8) || parts.back() != "txt" ||
      std::sscanf(parts[0].c_str(), "sm_%d-", &device) != 1)
    return std::nullopt;
  if (parts[1] != "mma_sync" && parts[1] != "wgmma") return std::nullopt;
  const auto elements = split(parts[2], 'x');
  const auto a = element_named(elements.front()), b = element_named(elements.back());
  if (!a || !b || (parts[3] != "f32" && parts[3] != "f16")) return std::nullopt;
  const auto instruction = parts[1] == "wgmma" ? Instruction::wgmma : Instruction::mma_sync;
  return VectorFile{instruction, find_dot_model(instruction, device, *a, *b), *a, *b,
                    parts[3] == "f16" ? Accumulator::f16 : Accumulator::f32};
}

std::vector<std::uint32_t> elements_of(const std::string& hex, Element element) {
  const std::size_t digits = 2 * static_cast<std::size_t>(bytes_of(element));
  std::vector<std::uint32_t> elements;
  for (std::size_t i = 0; i + digits <= hex.size(); i += digits)
    elements.push_back(static_cast<std::uint32_t>(std::stoul(hex.substr(i, digits), nullptr, 16)));
  return elements;
}

// The vectors do not tell -0 from +0.
std::uint32_t without_zero_sign(std::uint32_t bits, Accumulator accumulator) {
  return bits == (accumulator == Accumulator::f16 ? 0x8000u : 0x80000000u) ? 0 : bits;
}

// The same output as one of a wgmma's, or of a chain of them, whose other outputs are zeros.
std::uint32_t wgmma_dot(const VectorFile& file, const std::vector<std::uint32_t>& a,
                        const std::vector<std::uint32_t>& b, std::uint32_t c) {
  const WgmmaShape shape{8, file.a, file.b, file.accumulator};
  std::vector<std::uint32_t> d(static_cast<std::size_t>(shape.accumulator_registers()) * 32);
  // Row 3, column 6 belong to lane 3 * 4 + 6 / 2, as the lower of two.
  constexpr std::size_t kRow = 3, kColumn = 6, kLane = kRow * 4 + kColumn / 2;
  d[kLane] = c;
  const auto bytes = static_cast<std::size_t>(bytes_of(file.a)), k = 32 / bytes;
  for (std::size_t begin = 0; begin < a.size(); begin += k) {
    std::uint32_t a_words[kWgmmaWords] = {}, b_words[kWgmmaColumnWords] = {};
    for (std::size_t i = begin; i < std::min(begin + k, a.size()); ++i) {
      const std::size_t at = (i - begin) * bytes;  // in the row's or column's 32 bytes
      const std::size_t in_register = at / 16 * 32, in_core = at % 16 / 4, shift = at % 4 * 8;
      a_words[in_register * 2 + kRow * 4 + in_core] |= a[i] << shift;
      b_words[in_register + kColumn * 4 + in_core] |= b[i] << shift;
    }
    wgmma(shape, false, a_words, b_words, d.data());
  }
  return file.accumulator == Accumulator::f16 ? d[kLane] & 0xFFFF : d[kLane];
}

// Rows that do not match; the first few are printed.
int mismatches(const std::filesystem::path& path, const VectorFile& file, int& rows) {
  std::ifstream stream(path);
  int wrong = 0;
  for (std::string line; std::getline(stream, line);) {
    std::istringstream fields(line);
    std::string a_hex, b_hex;
    std::uint32_t c = 0, d = 0;
    fields >> a_hex >> b_hex >> std::hex >> c >> d;
    REQUIRE_MESSAGE(!fields.fail(), path.string(), " row ", rows + 1, " is not `a b c d`");
    const auto a = elements_of(a_hex, file.a), b = elements_of(b_hex, file.b);
    REQUIRE(a.size() == b.size());
    ++rows;
    const std::uint32_t got = fused_dot(*file.model, file.accumulator, {file.a, a}, {file.b, b}, c);
    if (file.instruction == Instruction::wgmma) REQUIRE(wgmma_dot(file, a, b, c) == got);
    if (without_zero_sign(got, file.accumulator) == without_zero_sign(d, file.accumulator))
      continue;
    if (++wrong <= 3)
      MESSAGE(fmt::format("row {}: got {:08x}, the GPU {:08x}: {}", rows, got, d, line));
  }
  return wrong;
}

TEST_CASE("every recorded tensor-core output matches bit for bit") {
  if (!std::filesystem::is_directory(vectors_folder())) {
    MESSAGE("skipped: no folder ", vectors_folder().string(),
            " (OCTAVO_TEST_VECTORS names another)");
    return;
  }
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(vectors_folder())) {
    const std::string name = entry.path().filename();
    if (entry.path().extension() != ".txt" || name.find(".approx.") != std::string::npos) continue;
    CAPTURE(name);
    const auto file = describe(name);
    REQUIRE_MESSAGE(file, "the name says nothing that this test knows");
    REQUIRE_MESSAGE(file->model, "the table has no row for it");
    int rows = 0;
    CHECK(mismatches(entry.path(), *file, rows) == 0);
    CHECK(rows > 0);
    ++files;
  }
  CHECK(files > 0);
}

}  // namespace
}  // namespace octavo::emulator::tensor_core
