// octavo generate: sources of kernels.
#include <fmt/format.h>

#include <memory>

#include "tools/artifact.hpp"
#include "tools/commands.hpp"

namespace octavo {
namespace {

struct Options {
  std::vector<std::string> specs, architectures;
  std::string out = "kernels";
};

void generate(const Options& options) {
  const std::vector<Artifact> artifacts = make_artifacts(options.specs, options.architectures);
  write_artifacts(artifacts, {}, options.out);
  for (const Artifact& artifact : artifacts) {
    fmt::print("{}\n", (std::filesystem::path(options.out) / (artifact.stem + ".cu")).string());
  }
}

}  // namespace

void add_generate(CLI::App& app, int&) {
  const auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("generate", "Write the CUDA source of every kernel of specs");
  command->add_option("SPEC", options->specs, "Spec files")->required();
  command
      ->add_option("--arch", options->architectures,
                   "Architectures, such as sm_90a,sm_89; default: all")
      ->delimiter(',')
      ->allow_extra_args(false);
  command->add_option("--out", options->out, "Folder to write to")->capture_default_str();
  command->footer(
      "Writes one .cu a kernel and manifest.json, the same bytes every time.\n\n"
      "Example:\n  octavo generate specs/llama-3.1-8b.yaml --arch sm_90a --out kernels");
  command->callback([options] { generate(*options); });
}

}  // namespace octavo
