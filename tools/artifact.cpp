#include "tools/artifact.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>

#include "runtime/error.hpp"
#include "tools/file.hpp"

namespace octavo {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;

std::vector<Architecture> find_architectures(const std::vector<std::string>& names) {
  std::vector<Architecture> found;
  for (const std::string& name : names) {
    const Architecture* arch = find_architecture(name);
    if (arch == nullptr) {
      std::vector<std::string_view> known;
      for (const Architecture& each : architectures()) known.push_back(each.name);
      throw UsageError(fmt::format("--arch {}: there is no such architecture; expected {}", name,
                                   fmt::join(known, ", ")));
    }
    found.push_back(*arch);
  }
  return found;
}

// The kernels of a spec on all architectures that have them.
std::vector<Plan> plans_everywhere(const Spec& spec) {
  std::vector<Plan> found;
  std::vector<std::string> refusals;
  for (const Architecture& arch : architectures()) {
    try {
      std::ranges::copy(plans(spec, arch), std::back_inserter(found));
    } catch (const SpecError& error) {
      refusals = error.lines();
    }
  }
  if (found.empty()) throw SpecError(refusals);
  return found;
}

}  // namespace

void add_artifact_options(CLI::App& command, ArtifactOptions& options) {
  command.add_option("SPEC", options.specs, "Spec files")->required();
  command
      .add_option("--arch", options.architectures,
                  "Architectures, such as sm_90a,sm_89; default: all")
      ->delimiter(',')
      ->allow_extra_args(false);
  command.add_option("--out", options.out, "Folder to write to")->capture_default_str();
}

std::vector<Artifact> make_artifacts(const std::vector<std::string>& spec_files,
                                     const std::vector<std::string>& architecture_names) {
  const std::vector<Architecture> wanted = find_architectures(architecture_names);
  std::vector<Artifact> artifacts;
  for (const std::string& file : spec_files) {
    for (const Spec& spec : read_specs(file)) {
      std::vector<Plan> found;
      for (const Architecture& arch : wanted) {
        std::ranges::copy(plans(spec, arch), std::back_inserter(found));
      }
      if (wanted.empty()) found = plans_everywhere(spec);
      for (Plan& plan : found) {
        const std::string stem = fmt::format("{}-{}.{}.{}", spec.name, digest(spec), plan.arch.name,
                                             name_of(plan.kernel));
        Source source = emit(plan);
        artifacts.push_back({std::move(plan), std::move(source), stem});
      }
    }
  }
  // A spec that is named twice is written once.
  std::ranges::sort(artifacts, {}, &Artifact::stem);
  const auto twins = std::ranges::unique(artifacts, {}, &Artifact::stem);
  artifacts.erase(twins.begin(), twins.end());
  return artifacts;
}

void write_artifacts(const std::vector<Artifact>& artifacts, const std::vector<json>& entries,
                     const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    throw EnvironmentError(fmt::format("cannot make the folder {}: {}; name another with --out",
                                       folder.string(), error.message()));
  }
  json kernels = json::array();
  for (std::size_t i = 0; i < artifacts.size(); ++i) {
    const auto& [plan, source, stem] = artifacts[i];
    write_file(folder / (stem + ".cu"), source.text);
    json entry = {{"spec", plan.spec.name},
                  {"digest", digest(plan.spec)},
                  {"kernel", name_of(plan.kernel)},
                  {"arch", plan.arch.name},
                  {"entry", source.entry},
                  {"threads", plan.threads},
                  {"dynamic_shared_bytes", plan.shared_bytes},
                  {"source", stem + ".cu"}};
    if (const Boxes& boxes = plan.boxes; boxes.rows > 0) {
      entry["tensor_map_boxes"] = {{"k", {boxes.k_bytes, boxes.rows}},
                                   {"v", {boxes.v_bytes, boxes.rows}}};
    }
    if (!entries.empty()) entry.update(entries[i]);
    kernels.push_back(std::move(entry));
  }
  write_file(folder / "manifest.json", json{{"octavo", 1}, {"kernels", kernels}}.dump(2) + "\n");
}

}  // namespace octavo
