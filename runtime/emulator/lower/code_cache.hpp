// Compiled kernels on disk, so that a kernel is compiled for the host once.
//
// They lie in $OCTAVO_CACHE_DIR/emulator, else $XDG_CACHE_HOME/octavo/emulator, else
// ~/.cache/octavo/emulator. One file an entry, named by the XXH3-128 of its key, in bytes of the
// host:
//
//   entry    = magic key_size object_size key object checksum
//   magic    = "octcode1"
//   *_size   = u64
//   checksum = u64, XXH3-64 of all that stands before it
//
// Entries are code that this process will run: a directory that is another user's, or that others
// may write to, is not used. What is wrong with the directory is said once a process, on stderr.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace octavo::emulator {

// The object stored under this very key; nothing if there is none or the entry is damaged.
// Thread-safe, and safe between processes. Never throws but for lack of memory.
std::optional<std::vector<char>> find_code(std::string_view key);

// Publishes an object by rename, over a damaged or older one, and keeps the folder near 1 GiB. A
// failure costs only the next compile, so it is at most a warning.
void store_code(std::string_view key, std::span<const char> object);

// Removes the entries used longest ago until at most this many bytes are left.
void trim_code(std::uint64_t bytes);

}  // namespace octavo::emulator
