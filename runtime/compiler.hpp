// Source -> Binary, through NVRTC, with a cache on disk in front of it.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "generator/source.hpp"
#include "runtime/binary.hpp"

namespace octavo {

struct NvrtcInfo {
  std::filesystem::path library;  // the file that was loaded
  int major = 0, minor = 0;
};

// The NVRTC that compiles use, loaded at the first call. Throws EnvironmentError that lists every
// place searched: $CUDA_HOME, $CUDA_PATH, the usual places, the loader's path, the private folder
// that tools/setup.sh fills.
const NvrtcInfo& nvrtc();

// One compile, no cache. Throws EnvironmentError with the compiler's log if it fails. Thread-safe.
Binary compile(const Source& source, std::string_view arch);

// The PTX of any CUDA source, which may include CUDA's own headers where NVRTC's toolkit has them
// and others from its file's folder. `file` is its name in messages. Throws UsageError with the
// compiler's log if it does not compile. No cache. Thread-safe.
std::string compile_to_ptx(const std::string& text, const std::filesystem::path& file,
                           std::string_view arch);

struct CachedBinary {
  Binary binary;
  bool hit = false;         // found on disk
  double milliseconds = 0;  // spent compiling or reading
};

// The same through the cache of runtime/cache.hpp. Thread-safe, and safe between processes.
CachedBinary compile_cached(const Source& source, std::string_view arch);

}  // namespace octavo
