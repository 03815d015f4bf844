#include "runtime/cache_entry.hpp"

#include <fmt/format.h>
#include <xxhash.h>

#include <cstdint>

namespace octavo {
namespace {

constexpr std::string_view kMagic = "octavo kernel 1\n";
constexpr std::size_t kTagBytes = 4;
constexpr std::size_t kLengthBytes = 8;

XXH128_canonical_t hash(std::string_view bytes) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.data(), bytes.size()));
  return canonical;
}

std::string_view view(const XXH128_canonical_t& hash) {
  return {reinterpret_cast<const char*>(hash.digest), sizeof hash.digest};
}

void append(std::string& to, std::string_view tag, std::string_view bytes) {
  to += tag;
  for (std::size_t i = 0; i < kLengthBytes; ++i) {
    to += static_cast<char>(static_cast<std::uint64_t>(bytes.size()) >> (8 * i));
  }
  to += bytes;
}

// Takes the field that must come next from the front of `rest`.
std::string_view take(std::string_view& rest, std::string_view tag) {
  if (rest.size() < kTagBytes + kLengthBytes || !rest.starts_with(tag)) {
    throw DamagedEntry(fmt::format("field '{}' is missing", tag));
  }
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i) {
    const auto byte = static_cast<unsigned char>(rest[kTagBytes + i]);
    length |= static_cast<std::uint64_t>(byte) << (8 * i);
  }
  rest.remove_prefix(kTagBytes + kLengthBytes);
  if (length > rest.size()) throw DamagedEntry(fmt::format("field '{}' is cut short", tag));
  const std::string_view bytes = rest.substr(0, length);
  rest.remove_prefix(length);
  return bytes;
}

}  // namespace

CacheKey cache_key(const Source& source, std::span<const std::string> options,
                   std::string_view compiler_build) {
  CacheKey key;
  key.material = kMagic;
  append(key.material, "nvrc", compiler_build);
  for (const std::string& option : options) append(key.material, "optn", option);
  append(key.material, "name", source.entry);
  append(key.material, "srce", source.text);
  for (unsigned char byte : hash(key.material).digest) key.name += fmt::format("{:02x}", byte);
  return key;
}

std::string pack(const CacheKey& key, const Binary& binary) {
  std::string file(kMagic);
  append(file, "key ", key.material);
  append(file, "entr", binary.entry);
  append(file, "arch", binary.arch);
  append(file, "ptx ", binary.ptx);
  append(file, "cubn", {binary.cubin.data(), binary.cubin.size()});
  append(file, "log ", binary.log);
  file += view(hash(file));
  return file;
}

Binary unpack(const CacheKey& key, std::string_view file) {
  if (!file.starts_with(kMagic)) throw DamagedEntry("it does not start as an entry does");
  constexpr std::size_t kChecksumBytes = sizeof(XXH128_canonical_t);
  if (file.size() < kMagic.size() + kChecksumBytes) throw DamagedEntry("it is cut short");
  const std::string_view body = file.substr(0, file.size() - kChecksumBytes);
  if (view(hash(body)) != file.substr(body.size())) throw DamagedEntry("its checksum is wrong");

  std::string_view rest = body.substr(kMagic.size());
  if (take(rest, "key ") != key.material) throw DamagedEntry("it is the entry of another key");
  Binary binary;
  binary.entry = take(rest, "entr");
  binary.arch = take(rest, "arch");
  binary.ptx = take(rest, "ptx ");
  const std::string_view cubin = take(rest, "cubn");
  binary.cubin.assign(cubin.begin(), cubin.end());
  binary.log = take(rest, "log ");
  if (!rest.empty()) throw DamagedEntry("something follows its last field");
  return binary;
}

}  // namespace octavo
