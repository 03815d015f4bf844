#include "runtime/cache.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

namespace octavo {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEntrySuffix = ".kernel";
constexpr std::string_view kTemporarySuffix = ".writing";
constexpr std::uint64_t kDefaultLimitMb = 2048;
// A temporary file of this age belongs to a process that died while writing it.
constexpr std::chrono::hours kAbandoned{1};

std::string last_error() { return std::strerror(errno); }

void warn_once(const std::string& message) {
  static std::mutex mutex;
  static std::set<std::string> said;
  const std::lock_guard guard(mutex);
  if (said.insert(message).second) fmt::print(stderr, "octavo: warning: {}\n", message);
}

fs::path user_directory() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return fs::path(value == nullptr ? "" : value);
  };
  if (const fs::path own = variable("OCTAVO_CACHE_DIR"); !own.empty()) return own;
  if (const fs::path xdg = variable("XDG_CACHE_HOME"); xdg.is_absolute()) return xdg / "octavo";
  if (const fs::path home = variable("HOME"); !home.empty()) return home / ".cache" / "octavo";
  return {};
}

// Makes the folder and those above it, for this user alone. "" or what is wrong.
std::string make_folder(const fs::path& folder) {
  fs::path path;
  for (const fs::path& part : folder) {
    path /= part;
    if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST && !fs::is_directory(path)) {
      return fmt::format("{} cannot be made: {}", path.string(), last_error());
    }
  }
  return "";
}

// "" if nobody but this user and root can put a file there. In a sticky folder others can add files
// but not replace ours.
std::string others_can_write(const fs::path& folder, bool sticky_is_safe) {
  struct stat status;
  if (stat(folder.c_str(), &status) != 0) {
    return fmt::format("{} cannot be used: {}", folder.string(), last_error());
  }
  if (!S_ISDIR(status.st_mode)) return fmt::format("{} is not a directory", folder.string());
  if (sticky_is_safe && (status.st_mode & S_ISVTX) != 0) return "";
  if (status.st_uid != geteuid() && status.st_uid != 0) {
    return fmt::format("{} belongs to another user", folder.string());
  }
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return fmt::format("{} can be written by others; chmod go-w it", folder.string());
  }
  return "";
}

// An open file, closed at the end.
struct File {
  int descriptor;
  explicit File(int opened) : descriptor(opened) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (descriptor >= 0) close(descriptor);
  }
};

// Throws DamagedEntry if it cannot be read.
std::string read_whole(const File& file) {
  struct stat status;
  if (fstat(file.descriptor, &status) != 0) throw DamagedEntry(last_error());
  if (!S_ISREG(status.st_mode)) throw DamagedEntry("it is not a file");
  std::string text(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t got = read(file.descriptor, text.data() + done, text.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw DamagedEntry(last_error());
    if (got == 0) throw DamagedEntry("it shrank while being read");
    done += static_cast<std::size_t>(got);
  }
  return text;
}

bool write_whole(const File& file, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(file.descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return fsync(file.descriptor) == 0;
}

// "" or what failed. Whatever stands in the entry's place is replaced, a directory too.
std::string write_and_rename(const fs::path& place, std::string_view text) {
  std::string temporary = fmt::format("{}-XXXXXX{}", place.string(), kTemporarySuffix);
  const File file(
      mkostemps(temporary.data(), static_cast<int>(kTemporarySuffix.size()), O_CLOEXEC));
  if (file.descriptor < 0) return last_error();
  std::error_code error;
  if (fs::is_directory(place, error)) fs::remove_all(place, error);
  if (write_whole(file, text) && rename(temporary.c_str(), place.c_str()) == 0) return "";
  const std::string fault = last_error();
  unlink(temporary.c_str());
  return fault;
}

// 60 bits of the name.
std::uint64_t number_of(const CacheKey& key) {
  return std::stoull(key.name.substr(0, 15), nullptr, 16);
}

std::uint64_t limit_of_user() {
  const char* text = std::getenv("OCTAVO_CACHE_SIZE_MB");
  if (text == nullptr) return kDefaultLimitMb << 20;
  std::uint64_t megabytes = 0;
  const char* end = text + std::strlen(text);
  const auto [rest, error] = std::from_chars(text, end, megabytes);
  if (error != std::errc() || rest != end || megabytes >= (1ull << 44)) {
    throw UsageError(fmt::format("OCTAVO_CACHE_SIZE_MB is '{}'; expected a number of MiB", text));
  }
  return megabytes << 20;
}

struct Stored {
  fs::path path;
  std::uint64_t bytes;
  fs::file_time_type used;
};

// The files of a folder with this suffix. Files that vanish meanwhile are left out.
std::vector<Stored> files_of(const fs::path& folder, std::string_view suffix) {
  std::vector<Stored> found;
  std::error_code error;
  for (fs::directory_iterator file(folder, error), end; !error && file != end;
       file.increment(error)) {
    if (file->path().extension() != suffix) continue;
    std::error_code vanished;
    const std::uint64_t bytes = file->file_size(vanished);
    const fs::file_time_type used = file->last_write_time(vanished);
    if (!vanished) found.push_back({file->path(), bytes, used});
  }
  return found;
}

}  // namespace

Cache Cache::of_user() { return {user_directory(), limit_of_user()}; }

Cache::Cache(const fs::path& directory, std::uint64_t limit_bytes)
    : kernels_(directory.empty() ? directory : fs::absolute(directory) / "kernels"),
      limit_bytes_(limit_bytes) {
  if (kernels_.empty()) {
    problem_ = "no home directory; set OCTAVO_CACHE_DIR";
  } else {
    problem_ = make_folder(kernels_);
    if (problem_.empty()) problem_ = others_can_write(kernels_.parent_path(), true);
    if (problem_.empty()) problem_ = others_can_write(kernels_, false);
  }
  if (!problem_.empty()) warn_once("compiled kernels are not cached: " + problem_);
}

fs::path Cache::file(const CacheKey& key) const {
  return kernels_ / (key.name + std::string(kEntrySuffix));
}

std::optional<Binary> Cache::find(const CacheKey& key) const {
  if (!problem_.empty()) return std::nullopt;
  const File opened(open(file(key).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (opened.descriptor < 0 && errno == ENOENT) return std::nullopt;
  try {
    if (opened.descriptor < 0) throw DamagedEntry(last_error());
    Binary binary = unpack(key, read_whole(opened));
    // For trim. It fails where the cache is another's to write, and then trimming is too.
    static_cast<void>(futimens(opened.descriptor, nullptr));
    return binary;
  } catch (const DamagedEntry& damage) {
    warn_once(fmt::format("cache entry {} is damaged ({}) and will be compiled again",
                          file(key).string(), damage.what()));
    return std::nullopt;
  }
}

void Cache::publish(const CacheKey& key, const Binary& binary) const {
  if (!problem_.empty()) return;
  const std::string entry = pack(key, binary);
  const std::string fault = write_and_rename(file(key), entry);
  if (!fault.empty()) {
    warn_once(fmt::format("the kernel cache {} cannot be written: {}", kernels_.string(), fault));
    return;
  }
  // Reading the folder takes 0.1 s where there are 20,000 entries. Each byte that is published has
  // the same chance to bring it about, so that it happens once for a 64th of the limit.
  const std::uint64_t share = limit_bytes_ / 64;
  if (share <= entry.size() || number_of(key) % share < entry.size()) trim(file(key));
}

Cache::Usage Cache::usage() const {
  Usage usage;
  for (const Stored& entry : files_of(kernels_, kEntrySuffix)) {
    ++usage.entries;
    usage.bytes += entry.bytes;
  }
  return usage;
}

void Cache::trim(const fs::path& keep) const {
  std::error_code ignored;  // another process trims too
  const auto now = fs::file_time_type::clock::now();
  for (const Stored& file : files_of(kernels_, kTemporarySuffix)) {
    if (now - file.used > kAbandoned) fs::remove(file.path, ignored);
  }
  std::vector<Stored> entries = files_of(kernels_, kEntrySuffix);
  std::uint64_t total = 0;
  for (const Stored& entry : entries) total += entry.bytes;
  if (total <= limit_bytes_) return;
  std::ranges::sort(entries, {}, &Stored::used);
  for (const Stored& entry : entries) {
    if (total <= limit_bytes_ / 10 * 9) return;
    if (entry.path == keep) continue;
    fs::remove(entry.path, ignored);
    total -= entry.bytes;
  }
}

Cache::Lock::~Lock() {
  if (file_ >= 0) close(file_);
}

// One file for all keys: a lock is on the byte whose offset is the key's hash, so that nothing has
// to be cleaned up. An open file description's lock ends with it, and holds between threads as
// well.
Cache::Lock Cache::lock(const CacheKey& key, std::chrono::milliseconds patience) const {
  if (!problem_.empty()) return Lock();
  const int opened = open((kernels_ / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (opened < 0) return Lock();  // publish will say that the directory cannot be written
  File file(opened);
  struct flock range = {};
  range.l_type = F_WRLCK;
  range.l_whence = SEEK_SET;
  range.l_start = static_cast<off_t>(number_of(key));
  range.l_len = 1;
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (fcntl(opened, F_OFD_SETLK, &range) != 0) {
    const bool taken = errno == EAGAIN || errno == EACCES || errno == EINTR;
    if (!taken || std::chrono::steady_clock::now() >= deadline) return Lock();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  file.descriptor = -1;  // the lock's now
  return Lock(opened);
}

}  // namespace octavo
