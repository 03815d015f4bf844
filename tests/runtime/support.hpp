// What the tests of the runtime share.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>

#include "generator/source.hpp"

namespace octavo::test {

// An empty folder, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "octavo-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// A variable of the environment, as it was at the end. nullopt: not set.
class Environment {
 public:
  Environment(const char* name, const std::optional<std::string>& value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    set(value);
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment() { set(before_); }

 private:
  void set(const std::optional<std::string>& value) {
    value ? setenv(name_, value->c_str(), 1) : unsetenv(name_);
  }
  const char* name_;
  std::optional<std::string> before_;
};

// The cache of this test alone.
class TemporaryCache : public TemporaryFolder {
 private:
  Environment directory_{"OCTAVO_CACHE_DIR", (path() / "cache").string()};
};

inline std::string read_file(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

inline void write_file(const std::filesystem::path& file, std::string_view text) {
  std::ofstream(file, std::ios::binary)
      .write(text.data(), static_cast<std::streamsize>(text.size()));
}

// The message of the exception that `call` throws; "" if it throws none of that type.
template <typename Error, typename Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

inline bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// y[i] = factor * x[i], in dynamic and static shared memory on its way.
inline Source scale_source(float factor) {
  return {.text = R"(
extern __shared__ float dynamic[];
extern "C" __global__ void __launch_bounds__(64) scale(float* y, const float* x) {
  __shared__ float fixed[64];
  fixed[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = )" +
                  std::to_string(factor) +
                  R"(f * fixed[63 - threadIdx.x];
}
)",
          .entry = "scale"};
}

}  // namespace octavo::test
