// Runs the built octavo command.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace octavo::testing {

struct CommandResult {
  int status = -1;  // the exit code; -1 where it was killed
  std::string out, err;
  nlohmann::json json() const { return nlohmann::json::parse(out); }
};

// `arguments` is what follows the command's name, as a shell reads it; `environment` comes before
// it, such as "OCTAVO_NVRTC=/nowhere". The cache is one that only these tests use.
CommandResult run_octavo(const std::string& arguments, const std::string& environment = "");

// A new, empty folder that is removed at the end.
class Folder {
 public:
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string path(const std::string& name = "") const { return (folder_ / name).string(); }
  std::string write(const std::string& name, const std::string& text) const;  // returns the path

 private:
  std::filesystem::path folder_;
};

// Whether `part` stands in `text`.
bool has(const std::string& text, const std::string& part);

// Checks that the command exited with `status` and said one line, which starts as all of Octavo's
// do and contains `part`.
void check_refused(const CommandResult& result, int status, const std::string& part);

std::string read_file(const std::filesystem::path& file);

// Two query heads for a KV head, head dim 64: quick to compile and to emulate.
extern const char* const kSmallSpec;

}  // namespace octavo::testing
