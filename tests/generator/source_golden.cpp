// The sources of a few plans, as files that a person can read and a change shows up in.
// OCTAVO_REGENERATE_GOLDENS=1 writes them anew.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "generator/source.hpp"

namespace octavo {
namespace {

const std::filesystem::path kGoldens = std::filesystem::path(OCTAVO_SOURCE_DIR) / "tests/golden";
const std::filesystem::path kSpecs = std::filesystem::path(OCTAVO_SOURCE_DIR) / "specs";

// One that no shipped spec is: every axis on its other value.
constexpr std::string_view kOther = R"(
name: other-axes
attention:
  query_heads: 10
  kv_heads: 2
  head_dim: {qk: 96, v: 64}
  mask: none
  softcap: 30
  sinks: true
  rope: {pairing: interleaved, dims: 32}
kv_cache: {format: e5m2, scale: head, layout: contiguous, history_ready: true}
compute: {matmul: fp8, accumulation: {levels: 2}}
input: fp32
output: e4m3
)";

constexpr std::string_view kFp8 = R"(
name: fp8
attention: {query_heads: 32, kv_heads: 8, head_dim: 128}
compute: {matmul: fp8, accumulation: {levels: 2}}
)";

struct Golden {
  Spec spec;
  KernelKind kernel;
  std::string_view arch;
};

std::vector<Golden> goldens() {
  const Spec llama = read_specs(kSpecs / "llama-3.1-8b.yaml").front();
  const Spec gemma = read_specs(kSpecs / "gemma-2-9b.yaml").front();
  const Spec fp8 = parse_specs(kFp8, "fp8.yaml").front();
  const Spec other = parse_specs(kOther, "other-axes.yaml").front();
  using enum KernelKind;
  return {{llama, append, "sm_90a"},  {llama, decode, "sm_90a"}, {llama, merge, "sm_90a"},
          {gemma, append, "sm_80"},   {gemma, decode, "sm_80"},  {other, append, "sm_120a"},
          {other, decode, "sm_120a"}, {fp8, prefill, "sm_90a"}};
}

std::string file_of(const Golden& golden) {
  return fmt::format("{}.{}.{}.cu", golden.spec.name, name_of(golden.kernel), golden.arch);
}

std::string text_of(const Golden& golden) {
  return emit(plan(golden.spec, golden.kernel, *find_architecture(golden.arch))).text;
}

std::string read(const std::filesystem::path& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

// Where two texts part, for a message that is shorter than both.
std::string first_difference(const std::string& golden, const std::string& now) {
  std::istringstream left(golden), right(now);
  std::string was, is;
  for (int line = 1;; ++line) {
    const bool more_left = static_cast<bool>(std::getline(left, was));
    const bool more_right = static_cast<bool>(std::getline(right, is));
    if (!more_left && !more_right) return "";
    if (was != is || more_left != more_right) {
      return fmt::format("line {} was \"{}\" and is \"{}\"", line, was, is);
    }
  }
}

}  // namespace

TEST_CASE("emitted sources are the golden ones") {
  const bool regenerate = std::getenv("OCTAVO_REGENERATE_GOLDENS") != nullptr;
  std::set<std::string> files;
  for (const Golden& golden : goldens()) {
    const std::string file = file_of(golden);
    files.insert(file);
    if (regenerate) std::ofstream(kGoldens / file) << text_of(golden);
    CHECK_MESSAGE(first_difference(read(kGoldens / file), text_of(golden)) == "", file,
                  ": if it is meant, OCTAVO_REGENERATE_GOLDENS=1 ctest -R generator");
  }
  for (const auto& entry : std::filesystem::directory_iterator(kGoldens)) {
    CHECK_MESSAGE(files.contains(entry.path().filename().string()), entry.path());
  }
}

TEST_CASE("every shipped spec has plans, and their sources name their entries") {
  for (const auto& entry : std::filesystem::directory_iterator(kSpecs)) {
    if (entry.path().extension() != ".yaml") continue;
    for (const Spec& spec : read_specs(entry.path())) {
      for (const Architecture& arch : architectures()) {
        for (const Plan& each : plans(spec, arch)) {
          const Source source = emit(each);
          CAPTURE(spec.name);
          CHECK(source.text.find(" " + source.entry + "(") != std::string::npos);
          CHECK(source.text == emit(each).text);
          CHECK(source.text.find("#include") == std::string::npos);
        }
      }
    }
  }
}

}  // namespace octavo
