// What a cache entry holds and how its file is laid out. Private to the runtime.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "generator/source.hpp"
#include "runtime/binary.hpp"
#include "runtime/error.hpp"

namespace octavo {

// An entry's file:
//
//   file     = magic field* checksum
//   magic    = "octavo kernel 1\n"   16 bytes; the number is this layout's version
//   field    = tag length bytes
//   tag      = 4 letters
//   length   = u64, little endian
//   checksum = XXH3-128 of everything before it, big endian; 16 bytes
//
// Fields, each once and in this order: "key " the key's material, "entr", "arch", "ptx ", "cubn",
// "log ". The resources are read from the log. The key's material is laid out alike, without the
// checksum: "nvrc" the compiler's build, "optn" for each option, "name" the program's name, "srce".

// Exactly what the compiler is given, and which build of it.
struct CacheKey {
  std::string material;
  std::string name;  // XXH3-128 of the material, 32 hex digits: the stem of the entry's file name
};

CacheKey cache_key(const Source& source, std::span<const std::string> options,
                   std::string_view compiler_build);

std::string pack(const CacheKey& key, const Binary& binary);

// Why a file is not the entry that its name promises.
class DamagedEntry : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The binary, apart from its resources. Throws DamagedEntry for whatever pack(key, ...) cannot have
// written.
Binary unpack(const CacheKey& key, std::string_view file);

}  // namespace octavo
