// Whole files.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace octavo {

// Throws UsageError, one line that starts with `file`, if it is no file or cannot be read.
std::string read_file(const std::filesystem::path& file);

// Throws EnvironmentError.
void write_file(const std::filesystem::path& file, std::string_view bytes);

}  // namespace octavo
