// A cache folder of a test's own, gone at its end.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace octavo::emulator {

class ScratchCache {
 public:
  ScratchCache() {
    std::string name = (std::filesystem::temp_directory_path() / "octavo-test-XXXXXX").string();
    root_ = mkdtemp(name.data());
    const char* before = std::getenv("OCTAVO_CACHE_DIR");
    before_ = before == nullptr ? "" : before;
    setenv("OCTAVO_CACHE_DIR", root_.c_str(), 1);
  }
  ~ScratchCache() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
    if (before_.empty()) {
      unsetenv("OCTAVO_CACHE_DIR");
    } else {
      setenv("OCTAVO_CACHE_DIR", before_.c_str(), 1);
    }
  }
  ScratchCache(const ScratchCache&) = delete;
  ScratchCache& operator=(const ScratchCache&) = delete;

  std::filesystem::path root() const { return root_; }
  std::filesystem::path entries() const { return root_ / "emulator"; }

 private:
  std::filesystem::path root_;
  std::string before_;
};

}  // namespace octavo::emulator
