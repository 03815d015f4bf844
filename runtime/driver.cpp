#include "runtime/driver.hpp"

#include <dlfcn.h>
#include <fmt/format.h>
#include <link.h>

#include <cstdlib>
#include <vector>

namespace octavo {
namespace {

template <typename Function>
void find(void* library, const char* symbol, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, symbol));
}

// Where the loader found a library that was asked for by its bare name.
std::filesystem::path path_of(void* library) {
  link_map* map = nullptr;
  if (dlinfo(library, RTLD_DI_LINKMAP, static_cast<void*>(&map)) != 0) return {};
  return map->l_name;
}

std::vector<std::filesystem::path> emulator_places() {
  constexpr std::string_view kName = "liboctavo_emulator.so";
  if (const char* file = std::getenv("OCTAVO_EMULATOR_LIBRARY")) return {file};
  std::vector<std::filesystem::path> places;
  std::error_code ignored;  // no /proc: the next place is as good
  const auto executable = std::filesystem::read_symlink("/proc/self/exe", ignored);
  if (!executable.empty()) {
    places.push_back(executable.parent_path().parent_path() / "lib" / kName);
  }
  places.push_back(std::filesystem::path(OCTAVO_EMULATOR_FOLDER) / kName);
  places.emplace_back(kName);
  return places;
}

}  // namespace

Driver Driver::load(const std::filesystem::path& library) {
  // Never closed: a driver has threads and exit handlers of its own.
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) throw EnvironmentError(dlerror());

  Driver driver;
  driver.library = path_of(handle);
  std::string missing;
#define OCTAVO_FIND(name, symbol, parameters) \
  find(handle, #symbol, driver.name);         \
  if (driver.name == nullptr) missing += " " #symbol;
  OCTAVO_CUDA_FUNCTIONS(OCTAVO_FIND)
#undef OCTAVO_FIND
  if (!missing.empty()) {
    dlclose(handle);
    throw EnvironmentError(fmt::format("{} is not a CUDA driver that Octavo can use: it lacks{}",
                                       library.string(), missing));
  }
#define OCTAVO_FIND(name, symbol, parameters) find(handle, #symbol, driver.name);
  OCTAVO_EMULATOR_FUNCTIONS(OCTAVO_FIND)
  OCTAVO_GRAPH_FUNCTIONS(OCTAVO_FIND)
#undef OCTAVO_FIND
  return driver;
}

Driver Driver::load_emulator() {
  std::string faults;
  for (const auto& place : emulator_places()) {
    try {
      return load(place);
    } catch (const EnvironmentError& error) {
      faults += fmt::format("{}{}", faults.empty() ? "" : "; ", error.what());
    }
  }
  throw EnvironmentError(fmt::format(
      "the emulator cannot be loaded: {}; build the target octavo_emulator, or name its file in "
      "OCTAVO_EMULATOR_LIBRARY",
      faults));
}

const Driver& Driver::cuda() {
  static const Driver driver = load("libcuda.so.1");
  return driver;
}

const Driver& Driver::emulator() {
  static const Driver driver = load_emulator();
  return driver;
}

void Driver::check(CUresult result, std::string_view what) const {
  if (result == CUDA_SUCCESS) return;
  // First, for the next call to the emulator forgets it.
  const char* fault = nullptr;
  if (emulates() && octavoEmulatorLastFault(&fault) != CUDA_SUCCESS) fault = nullptr;
  const std::string where = fault == nullptr ? "" : fault;

  const char* name = nullptr;
  if (cuGetErrorName(result, &name) != CUDA_SUCCESS || name == nullptr) name = "unknown error";
  const char* text = nullptr;
  if (cuGetErrorString(result, &text) != CUDA_SUCCESS || text == nullptr) text = "no description";
  throw EnvironmentError(fmt::format("{}: {} ({}): {}{}{}", what, name, static_cast<int>(result),
                                     text, where.empty() ? "" : ": ", where));
}

}  // namespace octavo
