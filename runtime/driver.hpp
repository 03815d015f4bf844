// Driver: the CUDA Driver API's functions, found by name in a library loaded at run time.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "runtime/emulator/cuda_abi.h"
#include "runtime/error.hpp"

// Graphs of launches, which a GPU's driver has and the emulator, whose launches are over when they
// return, has not.
#define OCTAVO_GRAPH_FUNCTIONS(X)                                               \
  X(cuStreamBeginCapture, cuStreamBeginCapture_v2, (CUstream stream, int mode)) \
  X(cuStreamEndCapture, cuStreamEndCapture, (CUstream stream, CUgraph * graph)) \
  X(cuGraphInstantiate, cuGraphInstantiateWithFlags,                            \
    (CUgraphExec * executable, CUgraph graph, unsigned long long flags))        \
  X(cuGraphDestroy, cuGraphDestroy, (CUgraph graph))                            \
  X(cuGraphExecDestroy, cuGraphExecDestroy, (CUgraphExec executable))           \
  X(cuGraphLaunch, cuGraphLaunch, (CUgraphExec executable, CUstream stream))

namespace octavo {

using CUgraph = struct CUgraph_st*;
using CUgraphExec = struct CUgraphExec_st*;

// Call a function as driver.cuMemAlloc(...) and hand its result to check(). Immutable, and so safe
// to use from any thread; a library once loaded stays loaded.
struct Driver {
#define OCTAVO_MEMBER(name, symbol, parameters) CUresult(*name) parameters = nullptr;
  OCTAVO_CUDA_FUNCTIONS(OCTAVO_MEMBER)
  OCTAVO_EMULATOR_FUNCTIONS(OCTAVO_MEMBER)  // nullptr where the library is a GPU's driver
  OCTAVO_GRAPH_FUNCTIONS(OCTAVO_MEMBER)     // nullptr where it is the emulator
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
