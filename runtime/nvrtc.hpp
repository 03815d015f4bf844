// NVRTC: where it is found, what identifies it, and its functions. Private to the runtime.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "runtime/compiler.hpp"

extern "C" {
using nvrtcProgram = struct NvrtcProgram*;
}

// NVRTC's functions in use, declared from its documented ABI: OCTAVO_NVRTC_FUNCTION(name, result,
// parameters). An int result is an nvrtcResult; 0 is success.
#define OCTAVO_NVRTC_FUNCTIONS(X)                                                    \
  X(nvrtcVersion, int, (int* major, int* minor))                                     \
  X(nvrtcGetErrorString, const char*, (int result))                                  \
  X(nvrtcCreateProgram, int,                                                         \
    (nvrtcProgram * program, const char* source, const char* name, int header_count, \
     const char* const* headers, const char* const* include_names))                  \
  X(nvrtcDestroyProgram, int, (nvrtcProgram * program))                              \
  X(nvrtcCompileProgram, int,                                                        \
    (nvrtcProgram program, int option_count, const char* const* options))            \
  X(nvrtcGetPTXSize, int, (nvrtcProgram program, std::size_t* bytes))                \
  X(nvrtcGetPTX, int, (nvrtcProgram program, char* ptx))                             \
  X(nvrtcGetCUBINSize, int, (nvrtcProgram program, std::size_t* bytes))              \
  X(nvrtcGetCUBIN, int, (nvrtcProgram program, char* cubin))                         \
  X(nvrtcGetProgramLogSize, int, (nvrtcProgram program, std::size_t* bytes))         \
  X(nvrtcGetProgramLog, int, (nvrtcProgram program, char* log))

namespace octavo {

struct Nvrtc {
#define OCTAVO_MEMBER(name, result, parameters) result(*name) parameters = nullptr;
  OCTAVO_NVRTC_FUNCTIONS(OCTAVO_MEMBER)
#undef OCTAVO_MEMBER
  NvrtcInfo info;
  std::string build;  // as nvrtc_build(info.library)
};

// Where to look, in this order; the first NVRTC that is new enough is taken.
struct NvrtcSearch {
  std::filesystem::path only;                  // $OCTAVO_NVRTC: this file and no other
  std::vector<std::filesystem::path> folders;  // toolkits, and $LD_LIBRARY_PATH
  bool loader = true;                          // ask the loader for libnvrtc.so.*
  std::filesystem::path last;                  // the private folder of tools/setup.sh
  static NvrtcSearch from_environment();
};

// What tells one build of NVRTC from another: its ELF build id, or size and time of the file where
// it has none. Reads the file's headers only: loading NVRTC costs 7 ms and more, hence a warm cache
// must not. nullopt if there is no such file.
std::optional<std::string> nvrtc_build(const std::filesystem::path& library);

// nvrtc_build of the library that load_nvrtc would take, without loading it (unless none but the
// loader knows where it is); nullopt if there is none. It proves wrong if that library is broken.
std::optional<std::string> locate_nvrtc(const NvrtcSearch& search);

// Throws EnvironmentError that lists every place searched and what was wrong there.
Nvrtc load_nvrtc(const NvrtcSearch& search);

// The NVRTC of this process, loaded at the first call.
const Nvrtc& loaded_nvrtc();

// nvrtc_build of loaded_nvrtc(), without loading it. Throws as load_nvrtc if there is none.
std::string current_nvrtc_build();

}  // namespace octavo
