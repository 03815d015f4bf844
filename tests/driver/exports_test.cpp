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
#include "lower/table.hpp"

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

// The words in the table of this section of the README; each is there once.
std::set<std::string> listed_in(const std::string& section) {
  std::ifstream file(OCTAVO_SOURCE_DIR "/runtime/emulator/README.md");
  const std::string text(std::istreambuf_iterator<char>(file), {});
  const std::size_t begin = text.find("| of |", text.find("## " + section));
  REQUIRE(begin != std::string::npos);
  const std::string table = text.substr(begin, text.find("\n\n", begin) - begin);
  const std::regex word("`([A-Za-z0-9_.:]+)`");
  std::set<std::string> words;
  for (std::sregex_iterator at(table.begin(), table.end(), word), end; at != end; ++at) {
    CAPTURE(at->str());
    CHECK(words.insert((*at)[1]).second);
  }
  return words;
}

// Fails for each word that one of them has and the other lacks.
void check_same(const std::set<std::string>& listed, const std::set<std::string>& real) {
  for (const std::string& word : real) {
    CAPTURE(word);
    CHECK_MESSAGE(listed.contains(word), "the README lacks it");
  }
  for (const std::string& word : listed) {
    CAPTURE(word);
    CHECK_MESSAGE(real.contains(word), "the README has it and the table does not");
  }
}

TEST_CASE("the README lists every call") { check_same(listed_in("Calls"), kNames); }

TEST_CASE("the README lists every instruction") {
  std::set<std::string> opcodes;
  for (const auto& row : octavo::emulator::lower::instruction_table()) {
    opcodes.insert(std::string(row.opcode));
  }
  check_same(listed_in("Instructions"), opcodes);
}

TEST_CASE("the library exports the calls' symbols and nothing else of its own") {
  const char* path = OCTAVO_BINARY_DIR "/lib/liboctavo_emulator.so";
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  CAPTURE(std::string(path));
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
