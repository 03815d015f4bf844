// Driver: the CUDA Driver API's functions, found by name in a library loaded at run time.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "runtime/emulator/cuda_abi.h"
#include "runtime/error.hpp"

namespace octavo {

// Call a function as driver.cuMemAlloc(...) and hand its result to check(). Immutable, and so safe
// to use from any thread; a library once loaded stays loaded.
struct Driver {
#define OCTAVO_MEMBER(name, symbol, parameters) CUresult(*name) parameters = nullptr;
  OCTAVO_CUDA_FUNCTIONS(OCTAVO_MEMBER)
  OCTAVO_EMULATOR_FUNCTIONS(OCTAVO_MEMBER)  // nullptr where the library is a GPU's driver
#undef OCTAVO_MEMBER

  std::filesystem::path library;  // the file that was loaded

  bool emulates() const { return octavoEmulatorLastFault != nullptr; }

  // Does nothing for success. Else throws EnvironmentError: `what` was being done, the driver's
  // name and text for the error and, from the emulator, where in the kernel it happened.
  void check(CUresult result, std::string_view what) const;

  // All functions of this library, a path or a name that the loader knows. Throws EnvironmentError
  // if it cannot be loaded or lacks one of them.
  static Driver load(const std::filesystem::path& library);

  // The emulator: $OCTAVO_EMULATOR_LIBRARY if that is set, else liboctavo_emulator.so in ../lib
  // beside the executable, where it was built, or in the loader's path. Throws as load does, with
  // every place searched.
  static Driver load_emulator();

  // The process's GPU driver, libcuda.so.1, and its emulator; each loaded at the first call.
  static const Driver& cuda();
  static const Driver& emulator();
};

}  // namespace octavo
