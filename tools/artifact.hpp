// Kernels as files: what `generate` and `compile` write.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "generator/plan.hpp"
#include "generator/source.hpp"

namespace octavo {

struct Artifact {
  Plan plan;
  Source source;
  std::string stem;  // of its files' names: "llama-3.1-8b-<digest>.sm_90a.decode"
};

// What `generate` and `compile` are both asked.
struct ArtifactOptions {
  std::vector<std::string> specs, architectures;
  std::string out = "kernels";
};
void add_artifact_options(CLI::App& command, ArtifactOptions& options);

// Every kernel of every spec in the files, for each of these architectures. No architectures: for
// all of them on which a spec has kernels. Throws SpecError, and UsageError for an unknown
// architecture.
std::vector<Artifact> make_artifacts(const std::vector<std::string>& spec_files,
                                     const std::vector<std::string>& architectures);

// Writes the folder's sources and its manifest.json. `entries` says more about each artifact for
// the manifest; it may be empty. Throws EnvironmentError for what cannot be written.
void write_artifacts(const std::vector<Artifact>& artifacts,
                     const std::vector<nlohmann::ordered_json>& entries,
                     const std::filesystem::path& folder);

}  // namespace octavo
