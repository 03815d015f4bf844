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

constexpr int kCompilationError = 6;  // NVRTC_ERROR_COMPILATION

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

// Without the zero byte that ends NVRTC's texts.
std::string trimmed(std::string text) {
  while (!text.empty() && text.back() == '\0') text.pop_back();
  return text;
}

class Program {
 public:
  Program(const Nvrtc& nvrtc, const std::string& text, std::string name)
      : nvrtc_(nvrtc), name_(std::move(name)) {
    check(nvrtc_.nvrtcCreateProgram(&program_, text.c_str(), name_.c_str(), 0, nullptr, nullptr),
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

  std::string log() const {
    return trimmed(get(nvrtc_.nvrtcGetProgramLogSize, nvrtc_.nvrtcGetProgramLog));
  }
  std::string ptx() const { return trimmed(get(nvrtc_.nvrtcGetPTXSize, nvrtc_.nvrtcGetPTX)); }
  std::string cubin() const { return get(nvrtc_.nvrtcGetCUBINSize, nvrtc_.nvrtcGetCUBIN); }

  void check(int result, std::string_view what) const {
    if (result == 0) return;
    throw EnvironmentError(fmt::format("NVRTC {}.{}: {}: {}", nvrtc_.info.major, nvrtc_.info.minor,
                                       what, nvrtc_.nvrtcGetErrorString(result)));
  }

 private:
  // The text or bytes that a pair of NVRTC's functions give.
  std::string get(int (*size)(nvrtcProgram, std::size_t*), int (*copy)(nvrtcProgram, char*)) const {
    std::size_t bytes = 0;
    check(size(program_, &bytes), "reading a result's size");
    std::string result(bytes, '\0');
    check(copy(program_, result.data()), "reading a result");
    return result;
  }

  const Nvrtc& nvrtc_;
  std::string name_;
  nvrtcProgram program_ = nullptr;
};

// The headers that come with NVRTC's toolkit, CUDA's own; empty if it has none.
std::filesystem::path toolkit_headers(const NvrtcInfo& info) {
  const auto folder = info.library.parent_path().parent_path() / "include";
  return std::filesystem::exists(folder / "cuda_fp16.h") ? folder : std::filesystem::path();
}

}  // namespace

const NvrtcInfo& nvrtc() { return loaded_nvrtc().info; }

Binary compile(const Source& source, std::string_view arch) {
  const Nvrtc& nvrtc = loaded_nvrtc();
  Program program(nvrtc, source.text, source.entry + ".cu");
  std::vector<std::string> options = options_for(arch);
  if (has_cache(nvrtc.info)) options.emplace_back("--no-cache");
  const int result = program.compile(options);
  Binary binary;
  binary.entry = source.entry;
  binary.arch = arch;
  binary.log = program.log();
  if (result != 0) {
    program.check(result, fmt::format("compiling {} for {} failed; its log:\n{}", source.entry,
                                      arch, binary.log));
  }
  binary.ptx = program.ptx();
  const std::string cubin = program.cubin();
  binary.cubin.assign(cubin.begin(), cubin.end());
  binary.resources = read_ptxas_report(binary.log, binary.entry);
  return binary;
}

std::string compile_to_ptx(const std::string& text, const std::filesystem::path& file,
                           std::string_view arch) {
  const Nvrtc& nvrtc = loaded_nvrtc();
  Program program(nvrtc, text, file.string());
  const auto folder = file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
  // The virtual architecture: PTX alone.
  std::vector<std::string> options = {
      fmt::format("--gpu-architecture=compute_{}", arch.substr(arch.find('_') + 1)), "--std=c++20",
      "--include-path=" + folder.string()};
  const auto headers = toolkit_headers(nvrtc.info);
  if (!headers.empty()) options.push_back("--include-path=" + headers.string());
  const int result = program.compile(options);
  if (result == kCompilationError) {
    throw UsageError(
        fmt::format("{} does not compile for {}:\n{}", file.string(), arch, program.log()));
  }
  program.check(result, fmt::format("compiling {} for {}: {}", file.string(), arch, program.log()));
  return program.ptx();
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
