// Several processes that need the same kernel at once.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <vector>

#include "runtime/compiler.hpp"
#include "support.hpp"

using namespace octavo;
using namespace octavo::test;

TEST_CASE("processes that need one kernel compile it once, and all get the same bytes") {
  const TemporaryCache cache;
  constexpr int kProcesses = 4;
  std::vector<pid_t> children;
  for (int i = 0; i < kProcesses; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      int status = 1;
      try {
        const CachedBinary binary = compile_cached(scale_source(7), "sm_90a");
        const std::string name = "result" + std::to_string(i);
        write_file(cache.path() / name, {binary.binary.cubin.data(), binary.binary.cubin.size()});
        write_file(cache.path() / (name + ".hit"), binary.hit ? "1" : "0");
        status = 0;
      } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
      }
      _exit(status);
    }
    children.push_back(child);
  }
  int misses = 0;
  for (int i = 0; i < kProcesses; ++i) {
    int status = -1;
    REQUIRE(waitpid(children[i], &status, 0) == children[i]);
    REQUIRE(status == 0);
    const std::string name = "result" + std::to_string(i);
    CHECK(read_file(cache.path() / name) == read_file(cache.path() / "result0"));
    misses += read_file(cache.path() / (name + ".hit")) == "0";
  }
  CHECK(read_file(cache.path() / "result0").size() > 1000);
  CHECK(misses == 1);
}
