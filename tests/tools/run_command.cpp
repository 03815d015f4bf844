// `octavo run` on the emulator.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <cstring>

#include "tests/tools/command.hpp"
#include "tools/reference/formats.hpp"

using namespace octavo::testing;

namespace {

const bool kNoEmulator = !OCTAVO_EMULATOR;

// A file of q [1, 3, 4, 64], k and v [1, 9, 2, 64] with bf16 values from `value`.
std::string tensors_file(const Folder& folder, double (*value)(int index)) {
  const std::string header =
      R"({"q":{"dtype":"BF16","shape":[1,3,4,64],"data_offsets":[0,1536]},)"
      R"("k":{"dtype":"BF16","shape":[1,9,2,64],"data_offsets":[1536,3840]},)"
      R"("v":{"dtype":"BF16","shape":[1,9,2,64],"data_offsets":[3840,6144]}})";
  std::string bytes(8, '\0');
  const std::uint64_t size = header.size();
  std::memcpy(bytes.data(), &size, 8);
  bytes += header;
  for (int i = 0; i < 3072; ++i) {
    const auto code =
        static_cast<std::uint16_t>(octavo::reference::encode(octavo::DataType::bf16, value(i)));
    bytes.append(reinterpret_cast<const char*>(&code), 2);
  }
  return folder.write("in.safetensors", bytes);
}

}  // namespace

TEST_CASE("run prints one object, with all that it promises" * doctest::skip(kNoEmulator)) {
  const Folder folder;
  const std::string spec = folder.write("small.yaml", kSmallSpec);
  const CommandResult result =
      run_octavo("run " + spec + " --device emulator --lengths 70,0,5 --queries 2 --check --json");
  REQUIRE_MESSAGE(result.status == 0, result.err);
  const nlohmann::json object = result.json();
  CHECK(object["device"].get<std::string>().find("H100") != std::string::npos);
  CHECK(object["spec"] == "small");
  CHECK(object["ok"] == true);
  REQUIRE(object["kernels"].size() >= 2);
  for (const auto& row : object["kernels"]) {
    CHECK(row["arch"] == "sm_90a");
    CHECK(row["compile_ms"].is_number());
    CHECK((row["cache"] == "hit" || row["cache"] == "miss"));
    CHECK(row["registers"] > 0);
    CHECK(row["spill_bytes"] == 0);
    CHECK(row["shared_bytes"].is_number_integer());
    CHECK((row["kernel"] == "merge" || row["launch_ms"] > 0));
  }
  const nlohmann::json& check = object["check"];
  CHECK(check["relative_l2"] > 0);
  CHECK(check["relative_l2"] <= check["bound"]);
  CHECK(check["max_abs"] > 0);
  CHECK(check["end_to_end_relative_l2"] > check["relative_l2"]);
}

TEST_CASE("a sweep gives an array, and --kernel chooses" * doctest::skip(kNoEmulator)) {
  const Folder folder;
  const std::string spec = folder.write(
      "sweep.yaml",
      "octavo: 1\nname: sweep\nattention: {query_heads: 2, kv_heads: 1, head_dim: [32, 64]}\n");
  const CommandResult result =
      run_octavo("run " + spec + " --device emulator --context 40 --kernel append --check --json");
  REQUIRE_MESSAGE(result.status == 0, result.err);
  const nlohmann::json objects = result.json();
  REQUIRE(objects.is_array());
  REQUIRE(objects.size() == 2);
  for (const auto& object : objects) {
    REQUIRE(object["kernels"].size() == 1);
    CHECK(object["kernels"][0]["kernel"] == "append");
    CHECK(object["check"]["end_to_end_relative_l2"].is_null());
    CHECK(object["check"]["relative_l2"] > 0);
    CHECK(object["check"]["relative_l2"] <= object["check"]["bound"]);
  }
}

TEST_CASE("run takes tensors from a file" * doctest::skip(kNoEmulator)) {
  const Folder folder;
  const std::string spec = folder.write("small.yaml", kSmallSpec);
  const std::string file =
      tensors_file(folder, [](int i) { return 0.25 * (i % 7) - 0.5 + 0.125 * (i % 3); });
  const CommandResult result = run_octavo("run " + spec + " --device emulator --input " + file +
                                          " --queries 3 --check --json");
  REQUIRE_MESSAGE(result.status == 0, result.err);
  CHECK(result.json()["ok"] == true);
  CHECK(run_octavo("run " + spec + " --device emulator --queries 4 --input " + file).status == 2);
  CHECK(run_octavo("run " + spec + " --device emulator --input " + spec).status == 2);
  CHECK(run_octavo("run " + spec + " --device emulator --input /none").status == 2);
}

TEST_CASE("a failed check exits with 1" * doctest::skip(kNoEmulator)) {
  const Folder folder;
  const std::string spec = folder.write("small.yaml", kSmallSpec);
  // A NaN among the values of V is a NaN in the output, on the device as in the reference: no bound
  // holds for it.
  const std::string file = tensors_file(folder, [](int i) { return i == 3071 ? NAN : 0.5; });
  const CommandResult result =
      run_octavo("run " + spec + " --device emulator --input " + file + " --check --json");
  CHECK(result.status == 1);
  CHECK(result.json()["ok"] == false);
  CHECK(result.err.find("octavo: small: ") == 0);
}

TEST_CASE("run prefills what decode does not take" * doctest::skip(kNoEmulator)) {
  const Folder folder;
  const std::string head =
      "octavo: 1\nattention: {query_heads: 2, kv_heads: 1, head_dim: 64}\n"
      "compute: {matmul: fp8}\n";
  const std::string both = folder.write("both.yaml", head + "kernels: [append, decode, prefill]\n");
  const std::string decode = folder.write("decode.yaml", head + "kernels: [append, decode]\n");
  for (const int queries : {16, 17}) {
    const CommandResult result =
        run_octavo("run " + both + " --device emulator --context 40 --check --json --queries " +
                   std::to_string(queries));
    REQUIRE_MESSAGE(result.status == 0, result.err);
    const auto kernels = result.json()["kernels"];
    for (const auto& row : kernels) {
      const bool used =
          row["kernel"] == "append" || row["kernel"] == (queries > 16 ? "prefill" : "decode");
      CHECK(row["launch_ms"].is_number() == used);
    }
  }
  const CommandResult refused =
      run_octavo("run " + decode + " --device emulator --context 40 --queries 17");
  CHECK(refused.status == 2);
  CHECK_MESSAGE(refused.err.find("--queries 17: decode takes at most 16; add prefill to the "
                                 "kernels of decode") != std::string::npos,
                refused.err);
}
