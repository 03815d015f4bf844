// Any bytes are a cache entry that packing its binary gives again, or damaged. A checksum refuses
// nearly all changes, so that each input is tried once more with its checksum made right.
#include "runtime/cache_entry.hpp"

#include <xxhash.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

const octavo::CacheKey& key() {
  static const std::vector<std::string> options{"--gpu-architecture=sm_90a"};
  static const octavo::CacheKey key =
      octavo::cache_key({.text = "source", .entry = "k"}, options, "build 1");
  return key;
}

void check(const std::string& file) {
  try {
    if (octavo::pack(key(), octavo::unpack(key(), file)) != file) std::abort();
  } catch (const octavo::DamagedEntry& error) {
    if (*error.what() == '\0') std::abort();  // it says what is wrong
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string file(reinterpret_cast<const char*>(data), size);
  check(file);
  XXH128_canonical_t checksum;
  if (size < sizeof checksum.digest) return 0;
  file.resize(size - sizeof checksum.digest);
  XXH128_canonicalFromHash(&checksum, XXH3_128bits(file.data(), file.size()));
  file.append(reinterpret_cast<const char*>(checksum.digest), sizeof checksum.digest);
  check(file);
  return 0;
}
