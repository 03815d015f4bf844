#include "tools/file.hpp"

#include <fmt/format.h>

#include <fstream>

#include "runtime/error.hpp"

namespace octavo {

std::string read_file(const std::filesystem::path& file) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(file, error)) {
    throw UsageError(file.string() + ": no such file");
  }
  std::string bytes(std::filesystem::file_size(file), '\0');
  std::ifstream stream(file, std::ios::binary);
  if (!stream.read(bytes.data(), static_cast<std::streamsize>(bytes.size()))) {
    throw UsageError(file.string() + ": cannot be read");
  }
  return bytes;
}

void write_file(const std::filesystem::path& file, std::string_view bytes) {
  std::ofstream stream(file, std::ios::binary | std::ios::trunc);
  stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  stream.close();
  if (!stream) {
    throw EnvironmentError(
        fmt::format("cannot write {}; name another place with --out", file.string()));
  }
}

}  // namespace octavo
