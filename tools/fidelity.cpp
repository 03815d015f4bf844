// Whether two devices compute the same bits: every shipped spec's kernels, and some more, on the
// same inputs.
//
//   fidelity record FOLDER SPEC.yaml ... [--device NAME]                  writes all results
//   fidelity compare FOLDER SPEC.yaml ... [--device NAME] [--json FILE]   holds the device to them
//
// The specs and the inputs of a case are the same in both. What differs first tells the kernel at
// fault: results are compared in the order in which they are computed.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "tools/json_file.hpp"
#include "tools/terminal.hpp"
#include "tools/trial.hpp"

namespace octavo {
namespace {

using json = nlohmann::ordered_json;
namespace fs = std::filesystem;

struct Options {
  fs::path folder, json_file;
  std::vector<std::string> specs;
  std::string device = "auto";
};

struct Shape {
  std::vector<int> lengths;
  int queries, splits;
};

// Lengths that end inside a tile and inside a page; and tiles enough for every warp to take
// several.
const Shape kShort = {{421, 65, 1}, 2, 3}, kLong = {{5000}, 1, 7}, kPrompts = {{200, 65, 1}, 90, 1};
constexpr std::uint64_t kSeed = 4;

struct Case {
  std::string name;
  Spec spec;
  Shape shape;
};

// What no shipped spec has.
constexpr const char* kMoreSpecs = R"(
octavo: 1
name: more
attention: {query_heads: 8, kv_heads: 2, head_dim: 64}
kv_cache: {format: [e4m3, e5m2]}
compute: {matmul: [fp16, bf16, fp8]}
---
octavo: 1
name: two-levels
attention: {query_heads: 8, kv_heads: 2, head_dim: 128}
compute: {matmul: fp8, accumulation: {levels: 2}}
---
octavo: 1
name: 16-bit-cache
attention: {query_heads: 6, kv_heads: 2, head_dim: {qk: 192, v: 128}, rope: {pairing: interleaved}}
kv_cache: {format: bf16, page_size: 16}
compute: {matmul: bf16}
input: fp32
output: e4m3
---
octavo: 1
name: head-scales
attention: {query_heads: 8, kv_heads: 2, head_dim: 128, softcap: 20, sinks: true}
kv_cache: {scale: head, layout: contiguous}
output: fp16
)";

// Of prefill.
constexpr const char* kPrefillSpecs = R"(
octavo: 1
name: prefill
attention: {query_heads: 8, kv_heads: 2, head_dim: [64, 128, 256]}
kv_cache: {scale: [head, token_head]}
compute: {matmul: fp8, accumulation: {levels: [1, 2]}}
kernels: [append, prefill]
---
octavo: 1
name: prefill-e5m2
attention: {query_heads: 5, kv_heads: 1, head_dim: 96, softcap: 20, mask: {sliding_window: 100}}
kv_cache: {format: e5m2, page_size: 16}
compute: {matmul: fp8}
kernels: [append, prefill]
---
octavo: 1
name: prefill-bf16
attention: {query_heads: 6, kv_heads: 2, head_dim: 128, sinks: true}
kv_cache: {format: bf16}
compute: {matmul: bf16}
kernels: [append, prefill]
)";

void add_cases(const std::vector<Spec>& specs, const Shape& shape, std::vector<Case>& cases) {
  for (const Spec& spec : specs)
    cases.push_back({fmt::format("{}-{}", spec.name, digest(spec).substr(0, 4)), spec, shape});
}

void add_cases(std::string_view yaml, const Shape& shape, std::vector<Case>& cases) {
  for (std::size_t from = 0; from < yaml.size();) {
    const std::size_t to = std::min(yaml.find("---\n", from), yaml.size());
    add_cases(parse_specs(yaml.substr(from, to - from), "fidelity.cpp"), shape, cases);
    from = to + 4;
  }
}

std::vector<Case> all_cases(const Options& options, const Device& device) {
  std::vector<Case> cases;
  for (const std::string& file : options.specs) add_cases(read_specs(file), kShort, cases);
  add_cases(kMoreSpecs, kShort, cases);
  cases.push_back({cases.back().name + "-long", cases.back().spec, kLong});
  if (device.architecture().wgmma) add_cases(kPrefillSpecs, kPrompts, cases);
  return cases;
}

std::vector<Trial::Written> run_case(const Case& of, const Device& device) {
  std::vector<int> queries;
  const Shape& shape = of.shape;
  for (const int length : shape.lengths) queries.push_back(std::min(length, shape.queries));
  const reference::Inputs inputs = reference::draw_inputs(of.spec, shape.lengths, queries, kSeed);
  Trial trial(of.spec, device, inputs, shape.splits);
  trial.append();
  if (std::ranges::find(of.spec.kernels, KernelKind::prefill) != of.spec.kernels.end()) {
    trial.prefill();
  } else {
    trial.decode();
  }
  return trial.written();
}

fs::path file_of(const Options& options, const Case& of, const std::string& result) {
  return options.folder / of.name / (result + ".bin");
}

void record(const Options& options, const Device& device) {
  for (const Case& of : all_cases(options, device)) {
    fs::create_directories(options.folder / of.name);
    for (const Trial::Written& result : run_case(of, device)) {
      std::ofstream file(file_of(options, of, result.name), std::ios::binary);
      file.write(reinterpret_cast<const char*>(result.data.data()),
                 static_cast<std::streamsize>(result.data.size()));
      if (!file.flush()) throw EnvironmentError("cannot write in " + options.folder.string());
    }
    fmt::print("{}\n", of.name);
  }
}

std::uint32_t code_at(const std::vector<std::byte>& data, std::size_t index, std::size_t bytes) {
  std::uint32_t code = 0;
  for (std::size_t i = bytes; i-- > 0;)
    code = code << 8 | static_cast<std::uint32_t>(data[index * bytes + i]);
  return code;
}

// Places of the codes in the order of the numbers; both zeros are at 0.
std::int64_t rank(std::uint32_t code, std::size_t bytes) {
  const std::uint32_t sign = 1u << (8 * bytes - 1);
  const auto magnitude = static_cast<std::int64_t>(code & (sign - 1));
  return code & sign ? -magnitude : magnitude;
}

json compare_results(const Trial::Written& here, const std::vector<std::byte>& there) {
  const auto bytes = static_cast<std::size_t>(bytes_of(here.type));
  json row = {{"result", here.name}, {"type", name_of(here.type)}};
  if (here.data.size() != there.size()) {
    row["error"] =
        fmt::format("{} bytes here, {} recorded: not of the same specs, so record it again",
                    here.data.size(), there.size());
    return row;
  }
  const std::size_t count = here.data.size() / bytes;
  std::size_t different = 0;
  std::int64_t most = 0;
  json first;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t got = code_at(here.data, i, bytes), want = code_at(there, i, bytes);
    if (got == want) continue;
    if (different++ == 0) {
      first = {{"index", i},
               {"here", fmt::format("{:0{}x}", got, 2 * bytes)},
               {"there", fmt::format("{:0{}x}", want, 2 * bytes)}};
    }
    most = std::max(most, std::abs(rank(got, bytes) - rank(want, bytes)));
  }
  row["elements"] = count;
  row["different"] = different;
  if (different > 0) row["most_ulps"] = most, row["first"] = first;
  return row;
}

// 0, or 1 where a bit differs.
int compare(const Options& options, const Device& device) {
  json cases = json::array();
  std::vector<std::vector<std::string>> rows = {
      {"case", "first that differs", "elements", "different", "most ulps"}};
  bool same = true;
  for (const Case& of : all_cases(options, device)) {
    json results = json::array();
    std::vector<std::string> row = {of.name, "none", "-", "-", "-"};
    for (const Trial::Written& result : run_case(of, device)) {
      std::ifstream file(file_of(options, of, result.name), std::ios::binary);
      if (!file)
        throw EnvironmentError(fmt::format("{} is missing; record it first",
                                           file_of(options, of, result.name).string()));
      const std::string text((std::istreambuf_iterator<char>(file)), {});
      const auto* data = reinterpret_cast<const std::byte*>(text.data());
      results.push_back(compare_results(result, {data, data + text.size()}));
      const json& last = results.back();
      if (row[1] != "none" || (!last.contains("error") && last["different"] == 0)) continue;
      same = false;
      row = {of.name, result.name, last.value("elements", json()).dump(),
             last.value("different", json()).dump(), last.value("most_ulps", json()).dump()};
    }
    rows.push_back(row);
    cases.push_back({{"case", of.name}, {"first_difference", row[1]}, {"results", results}});
    write_json(options.json_file, {{"device", device.name()}, {"cases", cases}});
  }
  fmt::print("{}\n\n{}", device.name(), table(rows));
  return same ? 0 : 1;
}

}  // namespace
}  // namespace octavo

int main(int argc, char** argv) {
  octavo::Options options;
  CLI::App app("Whether two devices compute the same bits");
  app.require_subcommand(1);
  int status = 0;
  const auto add = [&](const char* name, const char* what, auto function) {
    CLI::App* command = app.add_subcommand(name, what);
    command->add_option("FOLDER", options.folder, "Of the results")->required();
    command->add_option("SPEC", options.specs, "Spec files")->check(CLI::ExistingFile);
    command->add_option("--device", options.device, "As octavo run takes it")
        ->capture_default_str();
    command->callback([&, function] { function(octavo::Device::open(options.device)); });
    return command;
  };
  try {
    add("record", "Write a device's results",
        [&](const octavo::Device& device) { octavo::record(options, device); });
    add("compare", "Hold a device to another one's results", [&](const octavo::Device& device) {
      status = octavo::compare(options, device);
    })->add_option("--json", options.json_file, "Write what differs here");
    CLI11_PARSE(app, argc, argv);
    return status;
  } catch (const octavo::EnvironmentError& error) {
    fmt::print(stderr, "fidelity: {}\n", error.what());
    return 3;
  } catch (const std::exception& error) {
    fmt::print(stderr, "fidelity: {}\n", error.what());
    return 2;
  }
}
