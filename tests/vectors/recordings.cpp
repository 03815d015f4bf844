#include "recordings.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <regex>
#include <stdexcept>

namespace octavo::emulator::tensor_core {
namespace {

constexpr std::size_t kBinade = std::size_t{1} << 23;

// "ex2_p3", "ex2_m-12", "lg2_-1", "rsq_0": sign where there is one, and exponent.
Recording named(const std::string& name) {
  static const std::regex pattern("(ex2|lg2|rcp|rsq|sqrt)_([pm]?)(-?[0-9]+)");
  std::smatch match;
  if (!std::regex_match(name, match, pattern))
    throw std::runtime_error(fmt::format("{} names no function and binade", name));
  const std::uint32_t exponent = static_cast<std::uint32_t>(std::stoi(match[3]) + 127) << 23;
  return {name,
          match[1] == "rsq" ? "rsqrt" : match[1].str(),
          exponent | (match[2] == "m" ? 0x80000000u : 0u),
          {}};
}

void check(archive* reader, int status) {
  if (status < ARCHIVE_OK) throw std::runtime_error(archive_error_string(reader));
}

}  // namespace

std::filesystem::path vectors_folder() {
  if (const char* path = std::getenv("OCTAVO_TEST_VECTORS")) return path;
  return std::filesystem::path(OCTAVO_SOURCE_DIR) / "../shared/vectors";
}

void for_each_file(
    const std::filesystem::path& path, const std::string& extension,
    const std::function<void(const std::string& stem, std::vector<std::int8_t> bytes)>& visit) {
  const std::unique_ptr<archive, int (*)(archive*)> owner(archive_read_new(), archive_read_free);
  archive* reader = owner.get();
  check(reader, archive_read_support_format_tar(reader));
  check(reader, archive_read_support_filter_gzip(reader));
  check(reader, archive_read_open_filename(reader, path.c_str(), 1 << 20));
  archive_entry* entry = nullptr;
  for (int status; (status = archive_read_next_header(reader, &entry)) != ARCHIVE_EOF;) {
    check(reader, status);
    const std::filesystem::path file = archive_entry_pathname(entry);
    if (file.extension() != extension) continue;
    std::vector<std::int8_t> bytes(static_cast<std::size_t>(archive_entry_size(entry)));
    const auto read = archive_read_data(reader, bytes.data(), bytes.size());
    if (read != static_cast<la_ssize_t>(bytes.size()))
      throw std::runtime_error(fmt::format("{} is cut short", file.string()));
    visit(file.stem(), std::move(bytes));
  }
}

void for_each_recording(const std::filesystem::path& path,
                        const std::function<void(const Recording&)>& visit) {
  for_each_file(path, ".i8", [&](const std::string& stem, std::vector<std::int8_t> bytes) {
    Recording recording = named(stem);
    if (bytes.size() != kBinade)
      throw std::runtime_error(fmt::format("{} is no whole binade", stem));
    recording.differences = std::move(bytes);
    visit(recording);
  });
}

std::uint32_t correctly_rounded(const std::string& function, std::uint32_t bits) {
  const auto x = static_cast<double>(std::bit_cast<float>(bits));
  const double y = function == "ex2"     ? std::exp2(x)
                   : function == "lg2"   ? std::log2(x)
                   : function == "rcp"   ? 1 / x
                   : function == "rsqrt" ? 1 / std::sqrt(x)
                                         : std::sqrt(x);
  return std::bit_cast<std::uint32_t>(static_cast<float>(y));
}

}  // namespace octavo::emulator::tensor_core
