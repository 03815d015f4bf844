#include "tests/tools/command.hpp"

#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace octavo::testing {

namespace fs = std::filesystem;

CommandResult run_octavo(const std::string& arguments, const std::string& environment) {
  const Folder folder;
  const std::string out = folder.path("out"), err = folder.path("err");
  const std::string line = "OCTAVO_CACHE_DIR='" OCTAVO_BINARY_DIR "/test-cache' " + environment +
                           " '" OCTAVO_BINARY_DIR "/bin/octavo' " + arguments + " >" + out + " 2>" +
                           err + " </dev/null";
  const int status = std::system(line.c_str());
  return {.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
          .out = read_file(out),
          .err = read_file(err)};
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

void check_refused(const CommandResult& result, int status, const std::string& part) {
  CAPTURE(result.err);
  CHECK(result.status == status);
  CHECK(result.out == "");
  CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
  CHECK(result.err.starts_with("octavo: "));
  CHECK(has(result.err, part));
}

Folder::Folder() {
  std::string pattern = (fs::temp_directory_path() / "octavo-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
  folder_ = pattern;
}

Folder::~Folder() {
  std::error_code error;
  fs::remove_all(folder_, error);
}

std::string Folder::write(const std::string& name, const std::string& text) const {
  std::ofstream(folder_ / name, std::ios::binary) << text;
  return path(name);
}

std::string read_file(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

const char* const kSmallSpec = R"(octavo: 1
name: small
attention: {query_heads: 4, kv_heads: 2, head_dim: 64}
kernels: [append, decode]
)";

}  // namespace octavo::testing
