// Compiled kernels on disk: what was stored comes back, and anything else is a miss.
#include "lower/code_cache.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <random>
#include <thread>

#include "scratch_cache.hpp"

namespace octavo::emulator {
namespace {

namespace fs = std::filesystem;

std::vector<char> object_of(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<char> object(size);
  std::ranges::generate(object, [&] { return static_cast<char>(random()); });
  return object;
}

std::vector<fs::path> files(const fs::path& directory) {
  std::vector<fs::path> result;
  for (const auto& entry : fs::directory_iterator(directory)) result.push_back(entry.path());
  return result;
}

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

void write(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

TEST_CASE("what was stored under a key is found under it alone") {
  const ScratchCache cache;
  CHECK_FALSE(find_code("a").has_value());
  store_code("a", object_of(1000, 1));
  store_code("b", object_of(0, 2));
  CHECK(find_code("a") == object_of(1000, 1));
  CHECK(find_code("b") == object_of(0, 2));
  CHECK_FALSE(find_code("").has_value());
  store_code("a", object_of(2000, 3));
  CHECK(find_code("a") == object_of(2000, 3));
  CHECK(files(cache.entries()).size() == 2);
  struct stat status{};
  stat(cache.entries().c_str(), &status);
  CHECK((status.st_mode & 0777) == 0700);
}

TEST_CASE("a damaged entry is a miss and is replaced") {
  const ScratchCache cache;
  const std::vector<char> object = object_of(300, 1);
  store_code("key", object);
  const fs::path path = files(cache.entries()).at(0);
  const std::string whole = read(path);
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << (at % 8)));
    write(path, damaged);
    CAPTURE(at);
    CHECK_FALSE(find_code("key").has_value());
  }
  for (std::size_t length = 0; length < whole.size(); ++length) {
    write(path, whole.substr(0, length));
    CAPTURE(length);
    CHECK_FALSE(find_code("key").has_value());
  }
  write(path, whole + "x");
  CHECK_FALSE(find_code("key").has_value());
  store_code("key", object);
  CHECK(find_code("key") == object);
}

TEST_CASE("an entry of another key under this name is a miss") {
  const ScratchCache cache;
  store_code("one", object_of(10, 1));
  const fs::path one = files(cache.entries()).at(0);
  const std::string entry = read(one);
  store_code("two", object_of(10, 2));
  for (const fs::path& path : files(cache.entries())) write(path, entry);
  CHECK(find_code("one").has_value());
  CHECK_FALSE(find_code("two").has_value());
}

TEST_CASE("a folder that others may write to is not used") {
  const ScratchCache cache;
  store_code("key", object_of(10, 1));
  fs::permissions(cache.entries(), fs::perms::others_write, fs::perm_options::add);
  CHECK_FALSE(find_code("key").has_value());
  store_code("other", object_of(10, 1));
  CHECK(files(cache.entries()).size() == 1);
  fs::permissions(cache.entries(), fs::perms::others_write, fs::perm_options::remove);
  CHECK(find_code("key").has_value());
}

TEST_CASE("a place that cannot be written means no cache") {
  const ScratchCache cache;
  write(cache.root() / "file", "not a folder");
  setenv("OCTAVO_CACHE_DIR", (cache.root() / "file").c_str(), 1);
  store_code("key", object_of(10, 1));
  CHECK_FALSE(find_code("key").has_value());
}

TEST_CASE("trimming removes what was used longest ago") {
  const ScratchCache cache;
  for (const char* key : {"a", "b", "c"}) store_code(key, object_of(1000, 1));
  const auto hour = std::chrono::hours(1);
  for (const fs::path& path : files(cache.entries())) {
    fs::last_write_time(path, fs::file_time_type::clock::now() - hour);
  }
  CHECK(find_code("b").has_value());  // makes it the youngest
  trim_code(1500);
  CHECK_FALSE(find_code("a").has_value());
  CHECK(find_code("b").has_value());
  CHECK_FALSE(find_code("c").has_value());
  trim_code(0);
  CHECK(files(cache.entries()).empty());
}

TEST_CASE("threads that store and find one key see whole entries") {
  const ScratchCache cache;
  const std::vector<char> object = object_of(100000, 7);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        store_code("key", object);
        if (find_code("key") != object) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(files(cache.entries()).size() == 1);
}

}  // namespace
}  // namespace octavo::emulator
