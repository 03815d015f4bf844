// JSON that is written as it grows.
#pragma once

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "runtime/error.hpp"

namespace octavo {

// Takes the place of the file at once, so that a program that is stopped leaves what it knew. Does
// nothing without a name.
inline void write_json(const std::filesystem::path& file, const nlohmann::ordered_json& value) {
  if (file.empty()) return;
  const std::filesystem::path part = file.string() + ".part";
  std::ofstream stream(part);
  stream << value.dump(1) << '\n';
  if (!stream.flush()) throw EnvironmentError("cannot write " + part.string());
  std::filesystem::rename(part, file);
}

}  // namespace octavo
