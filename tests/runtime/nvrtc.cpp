#include "runtime/nvrtc.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>

#include "runtime/error.hpp"
#include "support.hpp"

using namespace octavo;
using namespace octavo::test;
namespace fs = std::filesystem;

namespace {

NvrtcSearch nowhere() {
  NvrtcSearch search;
  search.loader = false;
  return search;
}

}  // namespace

TEST_CASE("no NVRTC: the error lists every place, and what to do") {
  NvrtcSearch search = nowhere();
  search.folders = {"/nonexistent/toolkit/lib64", "/nonexistent/other"};
  search.last = "/nonexistent/private";
  CHECK_FALSE(locate_nvrtc(search).has_value());
  const std::string message = message_of<EnvironmentError>([&] { load_nvrtc(search); });
  for (const char* part :
       {"/nonexistent/toolkit/lib64", "/nonexistent/other", "/nonexistent/private", "12.8",
        "tools/setup.sh", "CUDA_HOME", "OCTAVO_NVRTC"}) {
    CHECK_MESSAGE(contains(message, part), message);
  }
}

TEST_CASE("a broken library is named with the loader's reason, and the next place is taken") {
  const TemporaryFolder folder;
  const fs::path broken = folder.path() / "libnvrtc.so.13";
  write_file(broken, "not a library");
  NvrtcSearch search = nowhere();
  search.folders = {folder.path()};
  const std::string message = message_of<EnvironmentError>([&] { load_nvrtc(search); });
  CHECK_MESSAGE(contains(message, broken.string()), message);

  search.last = nvrtc().library.parent_path();
  CHECK(load_nvrtc(search).info.library.parent_path() == search.last);
}

TEST_CASE("a library that is not NVRTC is named with what it lacks") {
  NvrtcSearch search = nowhere();
  search.only = "libm.so.6";
  const std::string message = message_of<EnvironmentError>([&] { load_nvrtc(search); });
  CHECK_MESSAGE(contains(message, "libm.so.6: lacks nvrtcVersion"), message);
}

TEST_CASE("a toolkit that is too old is passed over, and its version named") {
  const TemporaryFolder folder;
  write_file(folder.path() / "libnvrtc.so.12", "never loaded");
  write_file(folder.path() / "libnvrtc-builtins.so.12.6", "");
  NvrtcSearch search = nowhere();
  search.folders = {folder.path()};
  CHECK_FALSE(locate_nvrtc(search).has_value());
  const std::string message = message_of<EnvironmentError>([&] { load_nvrtc(search); });
  CHECK_MESSAGE(contains(message, "libnvrtc.so.12: version 12.6 is too old"), message);
}

TEST_CASE("OCTAVO_NVRTC is the only place then") {
  const Environment variable("OCTAVO_NVRTC", "/nonexistent/libnvrtc.so");
  const std::string message =
      message_of<EnvironmentError>([] { load_nvrtc(NvrtcSearch::from_environment()); });
  CHECK_MESSAGE(contains(message, "/nonexistent/libnvrtc.so"), message);
  CHECK_FALSE(contains(message, "/usr/local"));
}

TEST_CASE("toolkits named by the environment come first, in each of their folders") {
  const Environment home("CUDA_HOME", "/a"), path("CUDA_PATH", "/b");
  const Environment loader("LD_LIBRARY_PATH", "/c::/d"), only("OCTAVO_NVRTC", std::nullopt);
  const NvrtcSearch search = NvrtcSearch::from_environment();
  REQUIRE(search.folders.size() >= 8);
  CHECK(search.folders[0] == "/a/lib64");
  CHECK(search.folders[1] == "/a/lib");
  CHECK(search.folders[2] == "/a/targets/x86_64-linux/lib");
  CHECK(search.folders[3] == "/b/lib64");
  CHECK(search.folders[search.folders.size() - 2] == "/c");
  CHECK(search.folders.back() == "/d");
}

TEST_CASE("what is located without loading is what gets loaded") {
  NvrtcSearch search = NvrtcSearch::from_environment();
  const auto located = locate_nvrtc(search);
  REQUIRE(located.has_value());
  CHECK(*located == load_nvrtc(search).build);
  CHECK(*located == current_nvrtc_build());
}

TEST_CASE("a library's build is its build id; of a file without one, size and time") {
  CHECK(nvrtc_build(nvrtc().library).value().starts_with("build "));
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "libnvrtc.so";
  CHECK_FALSE(nvrtc_build(file).has_value());
  write_file(file, "12345");
  const auto before = nvrtc_build(file);
  CHECK(before.value().starts_with("size 5 time "));
  fs::last_write_time(file, fs::last_write_time(file) + std::chrono::milliseconds(1));
  CHECK(nvrtc_build(file) != before);
}

TEST_CASE("a library outside the loader's path finds its builtins") {
  // Through links in a folder of our own, as the private folder of the set-up is one.
  const TemporaryFolder folder;
  const fs::path real = fs::canonical(nvrtc().library).parent_path();
  for (const auto& file : fs::directory_iterator(real)) {
    const std::string name = file.path().filename();
    if (name.starts_with("libnvrtc")) fs::create_symlink(file.path(), folder.path() / name);
  }
  NvrtcSearch search = nowhere();
  search.last = folder.path();
  CHECK(load_nvrtc(search).info.major == nvrtc().major);
}
