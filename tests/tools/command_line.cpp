// The command as people and scripts meet it: exit codes, messages, files. What needs a device is in
// run_command.cpp.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "tests/tools/command.hpp"

using namespace octavo::testing;
namespace fs = std::filesystem;

TEST_CASE("help is there for everything, with an example") {
  for (const char* command : {"", "generate", "compile", "run", "emulate", "doctor"}) {
    const CommandResult result = run_octavo(command + std::string(" --help"));
    CAPTURE(std::string(command));
    CHECK(result.status == 0);
    CHECK(has(result.out, "Example:\n  octavo "));
    CHECK(result.err == "");
  }
}

TEST_CASE("wrong usage exits with 2 and one line that helps") {
  const Folder folder;
  const std::string spec = folder.write("small.yaml", kSmallSpec);
  check_refused(run_octavo(""), 2, "subcommand is required");
  check_refused(run_octavo("rnu"), 2, "did you mean run?");
  check_refused(run_octavo("run"), 2, "SPEC is required");
  check_refused(run_octavo("run --contxt 7 " + spec), 2, "did you mean --context?");
  check_refused(run_octavo("generate " + spec + " --archs sm_80"), 2, "did you mean --arch?");
  check_refused(run_octavo("run " + spec + " more"), 2, "more");
  check_refused(run_octavo("run " + spec + " --context -1"), 2, "--context");
  check_refused(run_octavo("run " + spec + " --context many"), 2, "--context");
  check_refused(run_octavo("run " + spec + " --lengths 1,x"), 2, "--lengths");
  check_refused(run_octavo("run " + spec + " --queries 0"), 2, "--queries");
  check_refused(run_octavo("run " + spec + " --kernel prefil"), 2, "--kernel");
  check_refused(run_octavo("run " + spec + " --lengths 1 --batch 2"), 2, "excludes");
  check_refused(run_octavo("run " + spec + " --device gpu"), 2, "gpu");
  check_refused(run_octavo("generate " + spec + " --arch sm_1"), 2, "sm_90a");
  check_refused(run_octavo("generate " + folder.path("none.yaml")), 2, "none.yaml");
  check_refused(run_octavo("generate " + folder.path()), 2, folder.path());
}

TEST_CASE("every fault of a spec is a line of its own") {
  const Folder folder;
  const std::string spec = folder.write(
      "bad.yaml", "octavo: 1\nattention: {query_heads: 4, kv_heads: 3, head_dim: 7}\nkv_cash: 1\n");
  const CommandResult result = run_octavo("generate " + spec);
  CAPTURE(result.err);
  CHECK(result.status == 2);
  CHECK(std::count(result.err.begin(), result.err.end(), '\n') >= 2);
  CHECK(has(result.err, "octavo: " + spec + ":3:1: "));
  check_refused(run_octavo("run " + folder.write("empty.yaml", "")), 2, "empty.yaml");
  check_refused(run_octavo("run " + folder.write("broken.yaml", "a: [")), 2, "broken.yaml");
}

TEST_CASE("what the machine lacks exits with 3") {
  const Folder folder;
  const std::string spec = folder.write("small.yaml", kSmallSpec);
  check_refused(run_octavo("generate " + spec + " --out /proc/octavo"), 3, "--out");
  check_refused(run_octavo("compile " + spec + " --arch sm_90a --out " + folder.path("out"),
                           "OCTAVO_NVRTC=/nowhere/libnvrtc.so"),
                3, "/nowhere/libnvrtc.so");
}

TEST_CASE("generate writes every kernel for every architecture, the same bytes every time") {
  const Folder first, second;
  const std::string spec = first.write("sweep.yaml",
                                       "octavo: 1\nname: sweep\nattention: {query_heads: 4, "
                                       "kv_heads: 2, head_dim: [64, 80]}\n");
  REQUIRE(run_octavo("generate " + spec + " --out " + first.path("out")).status == 0);
  REQUIRE(run_octavo("generate " + spec + " --out " + second.path("out")).status == 0);

  const auto manifest = nlohmann::json::parse(read_file(first.path("out/manifest.json")));
  std::set<std::string> listed{"manifest.json"};
  std::set<std::pair<std::string, std::string>> specs_and_architectures;
  for (const auto& kernel : manifest["kernels"]) {
    CHECK(listed.insert(kernel["source"]).second);
    specs_and_architectures.emplace(kernel["digest"], kernel["arch"]);
  }
  CHECK(specs_and_architectures.size() == 2 * 5);
  std::set<std::string> written;
  for (const auto& entry : fs::directory_iterator(first.path("out"))) {
    const std::string name = entry.path().filename();
    written.insert(name);
    CHECK(read_file(entry.path()) == read_file(second.path("out/" + name)));
    CHECK(fs::file_size(entry.path()) > 0);
  }
  CHECK(written == listed);
}

TEST_CASE("compile adds PTX and cubins, and its rows are those of run") {
  const Folder folder;
  const std::string spec = folder.write("small.yaml", kSmallSpec);
  const std::string line =
      "compile " + spec + " --arch sm_90a,sm_80 --json --out " + folder.path("out");
  const std::string cache = "OCTAVO_CACHE_DIR=" + folder.path("cache");
  const CommandResult cold = run_octavo(line, cache);
  REQUIRE_MESSAGE(cold.status == 0, cold.err);
  const nlohmann::json object = cold.json();
  CHECK(object["spec"] == "small");
  CHECK(object["ok"] == true);
  CHECK(object["kernels"].size() >= 4);
  for (const auto& row : object["kernels"]) {
    for (const char* key : {"kernel", "arch", "compile_ms", "cache", "registers", "spill_bytes",
                            "shared_bytes", "launch_ms"}) {
      CHECK(row.contains(key));
    }
    CHECK(row["cache"] == "miss");
    CHECK(row["registers"] > 0);
  }
  const nlohmann::json warm = run_octavo(line, cache).json();
  for (const auto& row : warm["kernels"]) CHECK(row["cache"] == "hit");

  const auto manifest = nlohmann::json::parse(read_file(folder.path("out/manifest.json")));
  for (const auto& kernel : manifest["kernels"]) {
    const std::string ptx = read_file(folder.path("out/" + kernel["ptx"].get<std::string>()));
    CHECK(has(ptx, ".entry " + kernel["entry"].get<std::string>()));
    const std::string cubin = read_file(folder.path("out/" + kernel["cubin"].get<std::string>()));
    CHECK(
        cubin.starts_with("\x7f"
                          "ELF"));
  }
}

TEST_CASE("doctor says what is there and what is missing") {
  const CommandResult missing = run_octavo("doctor --json", "OCTAVO_NVRTC=/nowhere/libnvrtc.so");
  CHECK(missing.status == 3);
  const nlohmann::json found = missing.json();
  CHECK(found["ok"] == false);
  bool named = false;
  for (const auto& check : found["checks"]) {
    if (check["what"] == "compiler")
      named = check["state"] == "missing" && has(check["detail"], "/nowhere");
  }
  CHECK(named);
  CHECK(has(run_octavo("doctor").out, "NVRTC"));
}
