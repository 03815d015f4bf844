#include "lower/code_cache.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

namespace octavo::emulator {
namespace {

namespace fs = std::filesystem;

constexpr char kMagic[] = {'o', 'c', 't', 'c', 'o', 'd', 'e', '1'};
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 30;
constexpr std::size_t kHeaderBytes = sizeof(kMagic) + 2 * sizeof(std::uint64_t);
constexpr std::size_t kFrameBytes = kHeaderBytes + sizeof(std::uint64_t);

void warn_once(const std::string& what) {
  static std::atomic<bool> warned = false;
  if (warned.exchange(true)) return;
  fmt::print(stderr, "octavo emulator: compiled kernels are not kept: {}\n", what);
}

// Empty where the environment names no place.
fs::path place() {
  const auto folder = [](const char* variable) -> const char* {
    const char* value = std::getenv(variable);
    return value != nullptr && *value != '\0' ? value : nullptr;
  };
  if (const char* cache = folder("OCTAVO_CACHE_DIR")) return fs::path(cache) / "emulator";
  if (const char* cache = folder("XDG_CACHE_HOME")) return fs::path(cache) / "octavo" / "emulator";
  if (const char* home = folder("HOME")) return fs::path(home) / ".cache" / "octavo" / "emulator";
  return {};
}

// Whether code found in this folder was put there by this user.
bool trusted(const fs::path& directory) {
  struct stat status{};
  if (stat(directory.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) return false;
  if (status.st_uid != geteuid()) {
    warn_once(fmt::format("{} belongs to another user; set OCTAVO_CACHE_DIR to a folder of yours",
                          directory.string()));
    return false;
  }
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    warn_once(fmt::format("others may write to {}; run chmod go-w on it", directory.string()));
    return false;
  }
  return true;
}

fs::path entry_path(const fs::path& directory, std::string_view key) {
  const XXH128_hash_t hash = XXH3_128bits(key.data(), key.size());
  return directory / fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

std::uint64_t read_u64(const char* from) {
  std::uint64_t value = 0;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

std::optional<std::vector<char>> read_file(const fs::path& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return std::nullopt;
  const std::uint64_t size = fs::file_size(path, error);
  if (error || size < kFrameBytes || size > kMostBytes) return std::nullopt;
  std::ifstream file(path, std::ios::binary);
  std::vector<char> bytes(size);
  if (!file.read(bytes.data(), static_cast<std::streamsize>(size))) return std::nullopt;
  return bytes;
}

// Whether these bytes are a whole entry of this key.
bool sound(const std::vector<char>& entry, std::string_view key) {
  const std::size_t end = entry.size() - sizeof(std::uint64_t);
  if (std::memcmp(entry.data(), kMagic, sizeof(kMagic)) != 0) return false;
  if (read_u64(entry.data() + end) != XXH3_64bits(entry.data(), end)) return false;
  const std::uint64_t key_size = read_u64(entry.data() + sizeof(kMagic));
  const std::uint64_t object_size = read_u64(entry.data() + sizeof(kMagic) + sizeof(key_size));
  const std::uint64_t payload = entry.size() - kFrameBytes;
  if (key_size > payload || object_size != payload - key_size) return false;
  return std::string_view(entry.data() + kHeaderBytes, key_size) == key;
}

std::vector<char> make_entry(std::string_view key, std::span<const char> object) {
  std::vector<char> entry;
  entry.reserve(kFrameBytes + key.size() + object.size());
  const auto append_u64 = [&](std::uint64_t value) {
    const auto* bytes = reinterpret_cast<const char*>(&value);
    entry.insert(entry.end(), bytes, bytes + sizeof(value));
  };
  entry.insert(entry.end(), std::begin(kMagic), std::end(kMagic));
  append_u64(key.size());
  append_u64(object.size());
  entry.insert(entry.end(), key.begin(), key.end());
  entry.insert(entry.end(), object.begin(), object.end());
  append_u64(XXH3_64bits(entry.data(), entry.size()));
  return entry;
}

// The folder, made if it was not there; empty if it cannot be used.
fs::path writable_place() {
  const fs::path directory = place();
  if (directory.empty()) {
    warn_once("neither OCTAVO_CACHE_DIR, XDG_CACHE_HOME nor HOME is set");
    return {};
  }
  std::error_code error;
  fs::create_directories(directory.parent_path(), error);
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    warn_once(fmt::format("cannot make {}: {}", directory.string(), std::strerror(errno)));
    return {};
  }
  return trusted(directory) ? directory : fs::path();
}

// Writes beside the final place and renames, so that a reader sees a whole entry or none.
void publish(const fs::path& path, const std::vector<char>& entry) {
  std::string temporary = path.string() + ".XXXXXX";
  const int descriptor = mkstemp(temporary.data());
  if (descriptor < 0) {
    return warn_once(fmt::format("cannot write {}: {}", path.string(), std::strerror(errno)));
  }
  std::size_t written = 0;
  while (written < entry.size()) {
    const ssize_t count = write(descriptor, entry.data() + written, entry.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    written += static_cast<std::size_t>(count);
  }
  const bool complete = close(descriptor) == 0 && written == entry.size();
  if (!complete || rename(temporary.c_str(), path.c_str()) != 0) {
    const int reason = errno;
    unlink(temporary.c_str());
    warn_once(fmt::format("cannot write {}: {}", path.string(), std::strerror(reason)));
  }
}

}  // namespace

std::optional<std::vector<char>> find_code(std::string_view key) {
  const fs::path directory = place();
  if (directory.empty() || !trusted(directory)) return std::nullopt;
  const fs::path path = entry_path(directory, key);
  std::optional<std::vector<char>> entry = read_file(path);
  if (!entry || !sound(*entry, key)) return std::nullopt;
  // The time of last use, which trimming goes by; where it cannot be set, the entry only looks
  // older.
  std::error_code ignored;
  fs::last_write_time(path, fs::file_time_type::clock::now(), ignored);
  const auto object = entry->begin() + static_cast<std::ptrdiff_t>(kHeaderBytes + key.size());
  return std::vector<char>(object, entry->end() - sizeof(std::uint64_t));
}

void store_code(std::string_view key, std::span<const char> object) {
  const fs::path directory = writable_place();
  if (directory.empty()) return;
  publish(entry_path(directory, key), make_entry(key, object));
  // Reads the whole folder, which takes longer than a small kernel: one entry in 64 pays for it.
  if (XXH3_64bits(key.data(), key.size()) % 64 == 0) trim_code(kMostBytes);
}

void trim_code(std::uint64_t bytes) {
  const fs::path directory = place();
  if (directory.empty() || !trusted(directory)) return;
  struct Entry {
    fs::file_time_type used;
    std::uint64_t bytes;
    fs::path path;
  };
  std::vector<Entry> entries;
  std::uint64_t total = 0;
  std::error_code error;
  for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    // Another process may remove a file meanwhile: such a file is not there to be counted.
    std::error_code gone;
    const Entry entry{at->last_write_time(gone), at->file_size(gone), at->path()};
    if (gone) continue;
    total += entry.bytes;
    entries.push_back(entry);
  }
  std::ranges::sort(entries, {}, &Entry::used);
  for (const Entry& entry : entries) {
    if (total <= bytes) return;
    std::error_code gone;
    fs::remove(entry.path, gone);
    total -= entry.bytes;
  }
}

}  // namespace octavo::emulator
