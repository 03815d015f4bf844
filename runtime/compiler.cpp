#include "runtime/compiler.hpp"

#include <fmt/format.h>

#include <chrono>
#include <vector>

#include "runtime/cache.hpp"
#include "runtime/error.hpp"
#include "runtime/nvrtc.hpp"
#include "runtime/ptxas_report.hpp"

namespace octavo {
namespace {

// These, in this order, are in the cache's key.
std::vector<std::string> options_for(std::string_view arch) {
  return {
      fmt::format("--gpu-architecture={}", arch),
      "--std=c++20",
      // Leaves out the textures and the runtime API that NVRTC declares by default.
      "--minimal",
      // Resources are read from the report.
      "--ptxas-options=-v",
  };
}

// NVRTC has a cache of its own since 12.9, which would give the binary without ptxas' report. Not
// in the key: the compiler's build, which is, decides it.
bool has_cache(const NvrtcInfo& info) {
  return std::pair(info.major, info.minor) >= std::pair(12, 9);
}

class Program {
 public:
  Program(const Nvrtc& nvrtc, const Source& source) : nvrtc_(nvrtc) {
    name_ = source.entry + ".cu";
    check(nvrtc_.nvrtcCreateProgram(&program_, source.text.c_str(), name_.c_str(), 0, nullptr,
                                    nullptr),
          "nvrtcCreateProgram");
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() { nvrtc_.nvrtcDestroyProgram(&program_); }

  int compile(const std::vector<std::string>& options) {
    std::vector<const char*> pointers;
    for (const std::string& option : options) pointers.push_back(option.c_str());
    return nvrtc_.nvrtcCompileProgram(program_, static_cast<int>(pointers.size()), pointers.data());
  }

  // The text or bytes that a pair of NVRTC's functions give.
  std::string get(int (*size)(nvrtcProgram, std::size_t*), int (*copy)(nvrtcProgram, char*)) const {
    std::size_t bytes = 0;
    check(size(program_, &bytes), "reading a result's size");
    std::string result(bytes, '\0');
    check(copy(program_, result.data()), "reading a result");
    return result;
  }

  void check(int result, std::string_view what) const {
    if (result == 0) return;
    throw EnvironmentError(fmt::format("NVRTC {}.{}: {}: {}", nvrtc_.info.major, nvrtc_.info.minor,
                                       what, nvrtc_.nvrtcGetErrorString(result)));
  }

 private:
  const Nvrtc& nvrtc_;
  std::string name_;
  nvrtcProgram program_ = nullptr;
};

// Without the zero byte that ends NVRTC's texts.
std::string trimmed(std::string text) {
  while (!text.empty() && text.back() == '\0') text.pop_back();
  return text;
}

}  // namespace

const NvrtcInfo& nvrtc() { return loaded_nvrtc().info; }

Binary compile(const Source& source, std::string_view arch) {
  const Nvrtc& nvrtc = loaded_nvrtc();
  Program program(nvrtc, source);
  std::vector<std::string> options = options_for(arch);
  if (has_cache(nvrtc.info)) options.emplace_back("--no-cache");
  const int result = program.compile(options);
  Binary binary;
  binary.entry = source.entry;
  binary.arch = arch;
  binary.log = trimmed(program.get(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog));
  if (result != 0) {
    program.check(result, fmt::format("compiling {} for {} failed; its log:\n{}", source.entry,
                                      arch, binary.log));
  }
  binary.ptx = trimmed(program.get(nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX));
  const std::string cubin = program.get(nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN);
  binary.cubin.assign(cubin.begin(), cubin.end());
  binary.resources = read_ptxas_report(binary.log, binary.entry);
  return binary;
}

CachedBinary compile_cached(const Source& source, std::string_view arch) {
  const auto start = std::chrono::steady_clock::now();
  const auto done = [&](Binary binary, bool hit) {
    const std::chrono::duration<double, std::milli> spent =
        std::chrono::steady_clock::now() - start;
    return CachedBinary{std::move(binary), hit, spent.count()};
  };
  const auto find = [](const Cache& cache, const CacheKey& key) {
    std::optional<Binary> binary = cache.find(key);
    if (binary) binary->resources = read_ptxas_report(binary->log, binary->entry);
    return binary;
  };

  const Cache cache = Cache::of_user();
  const std::string build = current_nvrtc_build();
  const CacheKey key = cache_key(source, options_for(arch), build);
  if (auto binary = find(cache, key)) return done(*std::move(binary), true);
  // The NVRTC that was found may prove broken and another be loaded: then the key is another.
  if (loaded_nvrtc().build != build) return compile_cached(source, arch);
  const Cache::Lock lock = cache.lock(key);
  if (auto binary = find(cache, key)) return done(*std::move(binary), true);
  Binary binary = compile(source, arch);
  cache.publish(key, binary);
  return done(std::move(binary), false);
}

}  // namespace octavo
