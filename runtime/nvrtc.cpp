#include "runtime/nvrtc.hpp"

#include <dlfcn.h>
#include <elf.h>
#include <fmt/format.h>
#include <link.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "runtime/error.hpp"

namespace octavo {
namespace {

namespace fs = std::filesystem;

// The first NVRTC that compiles for every architecture of ours (sm_100a and sm_120a).
constexpr std::pair kOldest{12, 8};
constexpr std::array kNames{"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"};

using Version = std::pair<int, int>;

// NVRTC needs libnvrtc-builtins.so.MAJOR.MINOR of its own version beside it, which tells the
// version of a library that is not loaded. {0, 0} if there is none.
Version version_beside(const fs::path& library) {
  constexpr std::string_view kPrefix = "libnvrtc-builtins.so.";
  Version newest{0, 0};
  std::error_code error;
  const fs::path folder = fs::canonical(library, error).parent_path();
  for (fs::directory_iterator file(folder, error), end; !error && file != end;
       file.increment(error)) {
    const std::string name = file->path().filename();
    Version version;
    if (name.starts_with(kPrefix) &&
        std::sscanf(name.c_str() + kPrefix.size(), "%d.%d", &version.first, &version.second) == 2) {
      newest = std::max(newest, version);
    }
  }
  return newest;
}

// The file that the loader has for this bare name; empty if none. It can tell by loading it only.
fs::path loader_path(const char* name) {
  void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  link_map* map = nullptr;
  if (library == nullptr || dlinfo(library, RTLD_DI_LINKMAP, static_cast<void*>(&map)) != 0)
    return {};
  return map->l_name;
}

// Hands every NVRTC that is not known to be too old to `take`, in order, until it returns true.
// `faults` gets a line for every place without one.
template <typename Take>
void visit(const NvrtcSearch& search, std::vector<std::string>& faults, Take take) {
  const auto offer = [&](const fs::path& file) {
    const Version version = version_beside(file);
    if (version == Version{0, 0} || version >= Version(kOldest)) return take(file);
    faults.push_back(
        fmt::format("{}: version {}.{} is too old", file.string(), version.first, version.second));
    return false;
  };
  const auto offer_folder = [&](const fs::path& folder) {
    for (const char* name : kNames) {
      std::error_code error;
      if (fs::exists(folder / name, error)) return offer(folder / name);
    }
    faults.push_back(folder.string() + ": none");
    return false;
  };
  if (!search.only.empty()) {
    take(search.only);
    return;
  }
  for (const auto& folder : search.folders) {
    if (offer_folder(folder)) return;
  }
  for (const char* name : kNames) {
    if (!search.loader) break;
    const fs::path file = loader_path(name);
    if (!file.empty() && offer(file)) return;
    if (file.empty()) faults.push_back(fmt::format("the loader's path: no {}", name));
  }
  if (!search.last.empty()) offer_folder(search.last);
}

template <typename Function>
bool find(void* library, const char* symbol, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, symbol));
  return function != nullptr;
}

// NVRTC asks the loader for its builtins by their bare name; a private folder is not in the
// loader's path, but a library that is loaded already is found all the same. Without them compiling
// fails with an error of NVRTC's own.
void load_builtins(const fs::path& library) {
  const Version version = version_beside(library);
  if (version == Version{0, 0}) return;
  const fs::path folder = fs::canonical(library).parent_path();
  const std::string name = fmt::format("libnvrtc-builtins.so.{}.{}", version.first, version.second);
  dlopen((folder / name).c_str(), RTLD_NOW | RTLD_LOCAL);
}

// Throws EnvironmentError that says what is wrong with this library. It stays loaded for good.
Nvrtc load(const fs::path& file) {
  load_builtins(file);
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw EnvironmentError(dlerror());
  Nvrtc nvrtc;
  nvrtc.info.library = file;
  const std::string path = file.string();
#define OCTAVO_FIND(name, result, parameters) \
  if (!find(library, #name, nvrtc.name)) throw EnvironmentError(path + ": lacks " #name);
  OCTAVO_NVRTC_FUNCTIONS(OCTAVO_FIND)
#undef OCTAVO_FIND
  if (nvrtc.nvrtcVersion(&nvrtc.info.major, &nvrtc.info.minor) != 0) {
    throw EnvironmentError(path + ": nvrtcVersion fails");
  }
  if (Version(nvrtc.info.major, nvrtc.info.minor) < Version(kOldest)) {
    throw EnvironmentError(
        fmt::format("{}: version {}.{} is too old", path, nvrtc.info.major, nvrtc.info.minor));
  }
  nvrtc.build = nvrtc_build(file).value_or(path);
  return nvrtc;
}

// The ELF build id in hex; "" if the file has none.
std::string elf_build_id(std::ifstream& file) {
  const auto read = [&](std::uint64_t offset, void* to, std::size_t bytes) {
    file.seekg(static_cast<std::streamoff>(offset));
    return static_cast<bool>(
        file.read(static_cast<char*>(to), static_cast<std::streamsize>(bytes)));
  };
  Elf64_Ehdr header;
  if (!read(0, &header, sizeof header) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
    return "";
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    if (!read(header.e_phoff + i * sizeof segment, &segment, sizeof segment)) return "";
    if (segment.p_type != PT_NOTE) continue;
    struct {
      Elf64_Nhdr note;
      char owner[4];
      unsigned char id[20];
    } build;
    if (segment.p_filesz < sizeof build || !read(segment.p_offset, &build, sizeof build)) continue;
    if (build.note.n_type != NT_GNU_BUILD_ID || build.note.n_descsz != sizeof build.id) continue;
    std::string hex;
    for (unsigned char byte : build.id) hex += fmt::format("{:02x}", byte);
    return hex;
  }
  return "";
}

// Folders named cuda-13.0 and the like, newest first.
std::vector<fs::path> versioned_toolkits() {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator folder("/usr/local", error), end; !error && folder != end;
       folder.increment(error)) {
    if (folder->path().filename().string().starts_with("cuda-")) found.push_back(folder->path());
  }
  std::ranges::sort(found, [](const fs::path& a, const fs::path& b) {
    return strverscmp(a.c_str(), b.c_str()) > 0;
  });
  return found;
}

std::atomic<const Nvrtc*> loaded = nullptr;

}  // namespace

NvrtcSearch NvrtcSearch::from_environment() {
  NvrtcSearch search;
  if (const char* file = std::getenv("OCTAVO_NVRTC")) search.only = file;
  const auto add = [&](const fs::path& folder) {
    if (std::ranges::find(search.folders, folder) == search.folders.end()) {
      search.folders.push_back(folder);
    }
  };
  const auto add_toolkit = [&](const fs::path& root) {
    for (const char* folder : {"lib64", "lib", "targets/x86_64-linux/lib"}) add(root / folder);
  };
  for (const char* variable : {"CUDA_HOME", "CUDA_PATH"}) {
    const char* root = std::getenv(variable);
    if (root != nullptr && *root != 0) add_toolkit(root);
  }
  add_toolkit("/usr/local/cuda");
  for (const auto& root : versioned_toolkits()) add_toolkit(root);
  add_toolkit("/opt/cuda");
  // The loader would look here too, but it cannot say what it would find without loading it.
  if (const char* path = std::getenv("LD_LIBRARY_PATH")) {
    std::istringstream folders(path);
    for (std::string folder; std::getline(folders, folder, ':');) {
      if (!folder.empty()) add(folder);
    }
  }
  search.last = fs::path(OCTAVO_NVRTC_FOLDER) / "nvidia/cu13/lib";
  return search;
}

std::optional<std::string> nvrtc_build(const fs::path& library) {
  struct stat status;
  std::ifstream file(library, std::ios::binary);
  if (!file || stat(library.c_str(), &status) != 0) return std::nullopt;
  const std::string id = elf_build_id(file);
  if (!id.empty()) return "build " + id;
  return fmt::format("size {} time {}.{:09}", status.st_size, status.st_mtim.tv_sec,
                     status.st_mtim.tv_nsec);
}

std::optional<std::string> locate_nvrtc(const NvrtcSearch& search) {
  std::optional<std::string> build;
  std::vector<std::string> faults;
  visit(search, faults,
        [&](const fs::path& file) { return (build = nvrtc_build(file)).has_value(); });
  return build;
}

Nvrtc load_nvrtc(const NvrtcSearch& search) {
  std::optional<Nvrtc> nvrtc;
  std::vector<std::string> faults;
  visit(search, faults, [&](const fs::path& file) {
    try {
      nvrtc = load(file);
    } catch (const EnvironmentError& error) {
      faults.emplace_back(error.what());
    }
    return nvrtc.has_value();
  });
  if (nvrtc) return *nvrtc;
  throw EnvironmentError(fmt::format(
      "no NVRTC {}.{} or newer, the compiler that Octavo needs; searched: {}; run tools/setup.sh, "
      "install a CUDA toolkit and set CUDA_HOME, or name the library in OCTAVO_NVRTC",
      kOldest.first, kOldest.second, fmt::join(faults, "; ")));
}

const Nvrtc& loaded_nvrtc() {
  static const Nvrtc nvrtc = load_nvrtc(NvrtcSearch::from_environment());
  loaded = &nvrtc;
  return nvrtc;
}

std::string current_nvrtc_build() {
  if (const Nvrtc* nvrtc = loaded) return nvrtc->build;
  if (const auto build = locate_nvrtc(NvrtcSearch::from_environment())) return *build;
  return loaded_nvrtc().build;
}

}  // namespace octavo
