#include "runtime/cache.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <thread>

#include "runtime/error.hpp"
#include "support.hpp"

using namespace octavo;
using namespace octavo::test;
namespace fs = std::filesystem;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t kRoom = 1ull << 30;
const std::vector<std::string> kOptions{"--gpu-architecture=sm_90a", "--std=c++20"};

CacheKey key_of(const std::string& text) {
  return cache_key({.text = text, .entry = "k"}, kOptions, "build 1");
}

Binary binary_of(const std::string& ptx) {
  return {.entry = "k",
          .arch = "sm_90a",
          .ptx = ptx,
          .cubin = {'\x7f', 'E', 'L', 'F', '\0', '\xff'},
          .log = "a\nlog",
          .resources = {}};
}

void check_equal(const Binary& a, const Binary& b) {
  CHECK(a.entry == b.entry);
  CHECK(a.arch == b.arch);
  CHECK(a.ptx == b.ptx);
  CHECK(a.cubin == b.cubin);
  CHECK(a.log == b.log);
}

// Root may write everywhere, so that root is nobody meanwhile.
class Unprivileged {
 public:
  Unprivileged() { become(65534); }
  Unprivileged(const Unprivileged&) = delete;
  Unprivileged& operator=(const Unprivileged&) = delete;
  ~Unprivileged() { become(0); }

 private:
  static void become(uid_t user) {
    if (getuid() == 0) REQUIRE(seteuid(user) == 0);
  }
};

// What `call` writes to stderr.
std::string stderr_of(const std::function<void()>& call) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "stderr";
  std::fflush(stderr);
  const int before = dup(STDERR_FILENO);
  const int capture = open(file.c_str(), O_WRONLY | O_CREAT, 0600);
  dup2(capture, STDERR_FILENO);
  call();
  std::fflush(stderr);
  dup2(before, STDERR_FILENO);
  close(capture);
  close(before);
  return read_file(file);
}

}  // namespace

TEST_CASE("what is published is found, by this cache and by the next on the same folder") {
  const TemporaryFolder folder;
  const Cache cache(folder.path() / "a" / "b", kRoom);
  CHECK(cache.problem().empty());
  CHECK_FALSE(cache.find(key_of("x")).has_value());
  cache.publish(key_of("x"), binary_of("ptx"));
  check_equal(cache.find(key_of("x")).value(), binary_of("ptx"));
  check_equal(Cache(folder.path() / "a" / "b", kRoom).find(key_of("x")).value(), binary_of("ptx"));
  CHECK_FALSE(cache.find(key_of("y")).has_value());
  CHECK(cache.usage().entries == 1);
  CHECK(cache.usage().bytes == fs::file_size(cache.file(key_of("x"))));
}

TEST_CASE("folders are made for this user alone, and nothing but entries and the lock stays") {
  const TemporaryFolder folder;
  const Cache cache(folder.path() / "a" / "b", kRoom);
  cache.publish(key_of("x"), binary_of("ptx"));
  for (const char* made : {"a", "a/b", "a/b/kernels"}) {
    CHECK((fs::status(folder.path() / made).permissions() & fs::perms::mask) ==
          fs::perms::owner_all);
  }
  for (const auto& file : fs::directory_iterator(cache.directory())) {
    CHECK(file.path() == cache.file(key_of("x")));
  }
}

TEST_CASE("the key tells apart all that the compiler is given") {
  const Source source{.text = "text", .entry = "k"};
  const CacheKey key = cache_key(source, kOptions, "build 1");
  CHECK(key.name.size() == 32);
  CHECK(cache_key(source, kOptions, "build 1").name == key.name);
  CHECK(cache_key({"texts", "k"}, kOptions, "build 1").name != key.name);
  CHECK(cache_key({"text", "l"}, kOptions, "build 1").name != key.name);
  CHECK(cache_key(source, kOptions, "build 2").name != key.name);
  CHECK(cache_key(source, std::vector<std::string>{"-a"}, "build 1").name != key.name);
  // Fields are delimited: what moves from one to its neighbour is another key.
  CHECK(cache_key(source, std::vector<std::string>{"-ab", "-c"}, "").name !=
        cache_key(source, std::vector<std::string>{"-a", "b-c"}, "").name);
  CHECK(cache_key({"kt", ""}, kOptions, "").name != cache_key({"t", "k"}, kOptions, "").name);
}

TEST_CASE("an entry with any bit flipped or any end cut off is refused") {
  const CacheKey key = key_of("x");
  const std::string good = pack(key, binary_of("ptx"));
  check_equal(unpack(key, good), binary_of("ptx"));
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ (1 << (i % 8)));
    CAPTURE(i);
    CHECK_THROWS_AS(unpack(key, bad), DamagedEntry);
    CHECK_THROWS_AS(unpack(key, std::string_view(good).substr(0, i)), DamagedEntry);
  }
  CHECK_THROWS_AS(unpack(key, good + '\0'), DamagedEntry);
}

TEST_CASE("a damaged entry is a miss with a warning, and publishing mends it") {
  const TemporaryFolder folder;
  const Cache cache(folder.path(), kRoom);
  const CacheKey key = key_of("x");
  const fs::path file = cache.file(key);
  cache.publish(key, binary_of("ptx"));
  const std::string good = read_file(file);

  std::function<void()> damage;
  std::string reason;
  SUBCASE("truncated") {
    damage = [&] { fs::resize_file(file, good.size() / 2); };
    reason = "its checksum is wrong";
  }
  SUBCASE("empty") {
    damage = [&] { fs::resize_file(file, 0); };
    reason = "does not start as an entry";
  }
  SUBCASE("a flipped bit") {
    damage = [&] {
      std::string bad = good;
      bad[bad.size() / 2] ^= 4;
      write_file(file, bad);
    };
    reason = "its checksum is wrong";
  }
  SUBCASE("another magic") {
    damage = [&] { write_file(file, "octavo kernel 0\n" + good.substr(16)); };
    reason = "does not start as an entry";
  }
  SUBCASE("another key's entry") {
    damage = [&] { write_file(file, pack(key_of("y"), binary_of("ptx"))); };
    reason = "the entry of another key";
  }
  SUBCASE("a directory in its place") {
    damage = [&] {
      fs::remove(file);
      fs::create_directories(file / "inside");
    };
    reason = "not a file";
  }
  SUBCASE("a pipe in its place, which nobody writes to") {
    damage = [&] {
      fs::remove(file);
      REQUIRE(mkfifo(file.c_str(), 0600) == 0);
    };
    reason = "not a file";
  }
  SUBCASE("a link to nowhere useful") {
    damage = [&] {
      fs::remove(file);
      fs::create_symlink(file, file);
    };
    reason = "symbolic links";
  }
  damage();
  std::optional<Binary> found;
  const std::string said = stderr_of([&] { found = cache.find(key); });
  CHECK_FALSE(found.has_value());
  CHECK_MESSAGE(contains(said, reason), said);
  CHECK_MESSAGE(contains(said, file.string()), said);
  CHECK(stderr_of([&] { cache.find(key); }).empty());
  cache.publish(key, binary_of("ptx"));
  check_equal(cache.find(key).value(), binary_of("ptx"));
}

TEST_CASE("a directory that cannot be made is a warning, and a cache without entries") {
  const TemporaryFolder folder;
  write_file(folder.path() / "file", "");
  std::string problem;
  const std::string said = stderr_of([&] {
    for (int i = 0; i < 2; ++i) {
      const Cache cache(folder.path() / "file" / "cache", kRoom);
      cache.publish(key_of("x"), binary_of("ptx"));
      CHECK_FALSE(cache.find(key_of("x")).has_value());
      CHECK_FALSE(cache.lock(key_of("x")).held());
      problem = cache.problem();
    }
  });
  CHECK_MESSAGE(contains(problem, "Not a directory"), problem);
  CHECK(contains(said, problem));
  CHECK(said.find(problem) == said.rfind(problem));  // once
}

TEST_CASE("a directory that can only be read still serves its entries") {
  const Unprivileged unprivileged;
  const TemporaryFolder folder;
  const Cache cache(folder.path(), kRoom);
  cache.publish(key_of("x"), binary_of("ptx"));
  fs::permissions(cache.directory(), fs::perms::owner_read | fs::perms::owner_exec);
  const Cache reader(folder.path(), kRoom);
  CHECK(reader.find(key_of("x")).has_value());
  const std::string said = stderr_of([&] { reader.publish(key_of("y"), binary_of("ptx")); });
  CHECK_MESSAGE(contains(said, "cannot be written"), said);
  fs::permissions(cache.directory(), fs::perms::owner_all);
}

TEST_CASE("a directory that others can write is refused") {
  const TemporaryFolder folder;
  {
    const Cache made(folder.path(), kRoom);
  }
  for (const char* open : {".", "kernels"}) {
    for (const fs::perms bit : {fs::perms::group_write, fs::perms::others_write}) {
      fs::permissions(folder.path() / open, bit, fs::perm_options::add);
      std::string problem;
      static_cast<void>(stderr_of([&] { problem = Cache(folder.path(), kRoom).problem(); }));
      CHECK_MESSAGE(contains(problem, "can be written by others"), problem);
      fs::permissions(folder.path() / open, bit, fs::perm_options::remove);
    }
  }
  CHECK(Cache(folder.path(), kRoom).problem().empty());
}

TEST_CASE("OCTAVO_CACHE_DIR, XDG_CACHE_HOME and HOME say where it is, in this order") {
  const TemporaryFolder folder;
  const Environment home("HOME", (folder.path() / "home").string());
  const Environment no_xdg("XDG_CACHE_HOME", std::nullopt),
      no_own("OCTAVO_CACHE_DIR", std::nullopt);
  CHECK(Cache::of_user().directory() == folder.path() / "home/.cache/octavo/kernels");
  const Environment xdg("XDG_CACHE_HOME", (folder.path() / "xdg").string());
  CHECK(Cache::of_user().directory() == folder.path() / "xdg/octavo/kernels");
  const Environment own("OCTAVO_CACHE_DIR", (folder.path() / "own").string());
  CHECK(Cache::of_user().directory() == folder.path() / "own/kernels");
}

TEST_CASE("OCTAVO_CACHE_SIZE_MB is the limit; anything but a number is refused") {
  const TemporaryCache folder;
  CHECK(Cache::of_user().limit_bytes() == 2048ull << 20);
  {
    const Environment size("OCTAVO_CACHE_SIZE_MB", "7");
    CHECK(Cache::of_user().limit_bytes() == 7ull << 20);
  }
  for (const char* wrong : {"", "7x", "-1", "1e3", "99999999999999999999"}) {
    const Environment size("OCTAVO_CACHE_SIZE_MB", wrong);
    CHECK(contains(message_of<UsageError>([] { Cache::of_user(); }), "OCTAVO_CACHE_SIZE_MB"));
  }
}

TEST_CASE("over its limit, what was used longest ago goes") {
  const TemporaryFolder folder;
  const Cache big(folder.path(), kRoom);
  std::vector<CacheKey> keys;
  for (int i = 0; i < 10; ++i) {
    keys.push_back(key_of("text " + std::to_string(i)));
    big.publish(keys.back(), binary_of(std::string(1000, 'p')));
    fs::last_write_time(big.file(keys.back()),
                        fs::file_time_type::clock::now() - (100min - i * 1min));
  }
  CHECK(big.find(keys[0]).has_value());  // now the most recently used
  write_file(big.directory() / "dead-abc123.writing", "half an entry");
  fs::last_write_time(big.directory() / "dead-abc123.writing",
                      fs::file_time_type::clock::now() - 2h);
  write_file(big.directory() / "live-abc123.writing", "half an entry");

  const std::uint64_t one = fs::file_size(big.file(keys[0]));
  const Cache small(folder.path(), 5 * one);
  const CacheKey last = key_of("text 10");
  small.publish(last, binary_of(std::string(999, 'p')));
  CHECK(small.usage().bytes <= 5 * one * 9 / 10);
  CHECK(small.usage().entries == 4);
  for (const CacheKey& kept : {keys[0], keys[8], keys[9], last})
    CHECK(small.find(kept).has_value());
  CHECK_FALSE(fs::exists(big.directory() / "dead-abc123.writing"));
  CHECK(fs::exists(big.directory() / "live-abc123.writing"));

  Cache(folder.path(), 0).publish(key_of("alone"), binary_of("ptx"));
  CHECK(big.usage().entries == 1);
  CHECK(big.find(key_of("alone")).has_value());
}

TEST_CASE("entries are looked at once for a 64th of the limit, not whenever one is published") {
  const auto publish = [](const Cache& cache, int count) {
    for (int i = 0; i < count; ++i)
      cache.publish(key_of("text " + std::to_string(i)), binary_of(std::string(1000, 'p')));
  };
  const TemporaryFolder folder;
  const Cache big(folder.path(), kRoom);
  const fs::path dead = big.directory() / "dead-abc123.writing";  // goes when they are
  write_file(dead, "half an entry");
  fs::last_write_time(dead, fs::file_time_type::clock::now() - 2h);
  publish(big, 20);
  CHECK(fs::exists(dead));

  const std::uint64_t limit = 300 * fs::file_size(big.file(key_of("text 0")));
  publish(Cache(folder.path(), limit), 400);
  CHECK_FALSE(fs::exists(dead));
  CHECK(big.usage().bytes >= limit / 10 * 8);
  CHECK(big.usage().bytes <= limit / 10 * 11);
}

TEST_CASE("a lock keeps out its own key only, for as long as it lives") {
  const TemporaryFolder folder;
  const Cache cache(folder.path(), kRoom);
  {
    const Cache::Lock lock = cache.lock(key_of("x"));
    CHECK(lock.held());
    CHECK_FALSE(cache.lock(key_of("x"), 20ms).held());
    CHECK(cache.lock(key_of("y"), 20ms).held());
  }
  CHECK(cache.lock(key_of("x"), 20ms).held());
}

TEST_CASE("a lock ends with its process, however that ends") {
  const TemporaryFolder folder;
  const Cache cache(folder.path(), kRoom);
  const pid_t child = fork();
  if (child == 0) {
    const Cache::Lock lock = cache.lock(key_of("x"));
    if (lock.held()) raise(SIGKILL);
    _exit(1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  CHECK(cache.lock(key_of("x"), 0ms).held());
}

TEST_CASE("threads that publish and find at once see whole entries only") {
  const TemporaryFolder folder;
  const Cache cache(folder.path(), kRoom);
  std::atomic<int> wrong = 0, seen = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        if (t < 2) cache.publish(key_of("x"), binary_of(std::string(100000, 'p')));
        const auto found = cache.find(key_of("x"));
        seen += found.has_value();
        wrong += found.has_value() && found->ptx != std::string(100000, 'p');
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(seen >= 100);
}
