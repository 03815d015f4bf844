// Cache: binaries on disk, one file an entry, shared by all processes of a user.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "runtime/binary.hpp"
#include "runtime/cache_entry.hpp"

namespace octavo {

// Never throws for what it finds on disk: an entry that cannot be read whole is a miss, and a
// directory that cannot be used is a cache without entries. Each such thing is a warning on stderr,
// once a process. Thread-safe.
class Cache {
 public:
  struct Usage {
    std::size_t entries = 0;
    std::uint64_t bytes = 0;
  };

  // The user's: $OCTAVO_CACHE_DIR, else $XDG_CACHE_HOME/octavo, else ~/.cache/octavo; of at most
  // $OCTAVO_CACHE_SIZE_MB MiB, 2048 by default. Throws UsageError if that is not a number.
  static Cache of_user();

  // Entries go to `directory`/kernels, made if need be. Entries are code that will run, so that a
  // directory that another user could write is not used. Empty: a cache without entries.
  Cache(const std::filesystem::path& directory, std::uint64_t limit_bytes);

  const std::filesystem::path& directory() const { return kernels_; }
  std::uint64_t limit_bytes() const { return limit_bytes_; }
  const std::string& problem() const { return problem_; }  // why it is not used; "" if it is
  Usage usage() const;

  // The entry's file; where it will be if it is not.
  std::filesystem::path file(const CacheKey& key) const;

  // The entry, now the most recently used one; nullopt if there is none or it is damaged.
  std::optional<Binary> find(const CacheKey& key) const;

  // Writes the entry beside its place and renames it into it, so that nobody ever sees half of one.
  // Now and then, about once for a 64th of the limit, looks at all entries, and if they are beyond
  // the limit removes what was used longest ago until 90 % of it are left.
  void publish(const CacheKey& key, const Binary& binary) const;

  // Held until the end of its life, or of the process. Keeps others from compiling the same key.
  class Lock {
   public:
    explicit Lock(int file = -1) : file_(file) {}
    Lock(Lock&& other) noexcept : file_(std::exchange(other.file_, -1)) {}
    Lock& operator=(Lock&&) = delete;
    ~Lock();
    bool held() const { return file_ >= 0; }

   private:
    int file_;
  };

  // Waits for `patience` at most, and then returns a lock that is not held: to compile twice is
  // better than to hang.
  Lock lock(const CacheKey& key,
            std::chrono::milliseconds patience = std::chrono::seconds(30)) const;

 private:
  void trim(const std::filesystem::path& keep) const;

  std::filesystem::path kernels_;
  std::uint64_t limit_bytes_;
  std::string problem_;
};

}  // namespace octavo
