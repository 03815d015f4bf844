// octavo generate: sources of kernels.
#include <fmt/format.h>

#include <memory>

#include "tools/artifact.hpp"
#include "tools/commands.hpp"

namespace octavo {
namespace {

void generate(const ArtifactOptions& options) {
  const std::vector<Artifact> artifacts = make_artifacts(options.specs, options.architectures);
  write_artifacts(artifacts, {}, options.out);
  for (const Artifact& artifact : artifacts) {
    fmt::print("{}\n", (std::filesystem::path(options.out) / (artifact.stem + ".cu")).string());
  }
}

}  // namespace

void add_generate(CLI::App& app, int&) {
  const auto options = std::make_shared<ArtifactOptions>();
  CLI::App* command =
      app.add_subcommand("generate", "Write the CUDA source of every kernel of specs");
  add_artifact_options(*command, *options);
  command->footer(
      "Writes one .cu a kernel and manifest.json, the same bytes every time.\n\n"
      "Example:\n  octavo generate specs/llama-3.1-8b.yaml --arch sm_90a --out kernels");
  command->callback([options] { generate(*options); });
}

}  // namespace octavo
