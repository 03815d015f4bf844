// The library exports the calls of cuda_abi.h and cuda_abi_more.h and nothing else, and the README
// lists them all.
#include <dlfcn.h>
#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>

#include "cuda_abi_more.h"

namespace {

#define OCTAVO_NAME(name, symbol, parameters) #name,
const std::set<std::string> kNames = {OCTAVO_CUDA_FUNCTIONS(OCTAVO_NAME) OCTAVO_MORE_CUDA_FUNCTIONS(
    OCTAVO_NAME) OCTAVO_EMULATOR_FUNCTIONS(OCTAVO_NAME)};
#undef OCTAVO_NAME
#define OCTAVO_SYMBOL(name, symbol, parameters) #symbol,
const std::set<std::string> kSymbols = {OCTAVO_CUDA_FUNCTIONS(OCTAVO_SYMBOL)
                                            OCTAVO_MORE_CUDA_FUNCTIONS(OCTAVO_SYMBOL)
                                                OCTAVO_EMULATOR_FUNCTIONS(OCTAVO_SYMBOL)};
#undef OCTAVO_SYMBOL

TEST_CASE("the README lists every call") {
  std::ifstream file(OCTAVO_SOURCE_DIR "/runtime/emulator/README.md");
  const std::string text(std::istreambuf_iterator<char>(file), {});
  const std::string table = text.substr(text.find("## Calls"));
  const std::regex call("`((cu[A-Z]|octavo)[A-Za-z0-9]+)`");
  std::set<std::string> listed;
  for (std::sregex_iterator at(table.begin(), table.end(), call), end; at != end; ++at) {
    CHECK(listed.insert((*at)[1]).second);
  }
  CHECK(listed == kNames);
}

TEST_CASE("the library exports the calls' symbols and nothing else of its own") {
  const char* path = OCTAVO_BINARY_DIR "/lib/liboctavo_emulator.so";
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  CAPTURE(path);
  REQUIRE(library != nullptr);
  for (const std::string& symbol : kSymbols) {
    CAPTURE(symbol);
    CHECK(dlsym(library, symbol.c_str()) != nullptr);
  }
  // One of ours that must stay inside: octavo::emulator::find_device_model.
  CHECK(dlsym(library,
              "_ZN6octavo8emulator17find_device_modelESt17basic_string_viewIcSt11char_"
              "traitsIcEE") == nullptr);
  CHECK(dlsym(library, "cuMemAlloc") == nullptr);
  dlclose(library);
}

}  // namespace
