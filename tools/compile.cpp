// octavo compile: sources, PTX and cubins of kernels.
#include <fmt/format.h>

#include <memory>

#include "runtime/compiler.hpp"
#include "tools/artifact.hpp"
#include "tools/commands.hpp"
#include "tools/file.hpp"
#include "tools/reference/parallel.hpp"
#include "tools/report.hpp"
#include "tools/terminal.hpp"

namespace octavo {
namespace {

using json = nlohmann::ordered_json;

struct Options : ArtifactOptions {
  bool print_json = false;
};

std::vector<CachedBinary> compile_all(const std::vector<Artifact>& artifacts) {
  Progress progress;
  progress.show(fmt::format("compiling {} kernels", artifacts.size()));
  std::vector<CachedBinary> binaries(artifacts.size());
  reference::parallel_for(artifacts.size(), [&](std::size_t i) {
    binaries[i] = compile_cached(artifacts[i].source, artifacts[i].plan.arch.name);
  });
  return binaries;
}

void write(const std::vector<Artifact>& artifacts, const std::vector<CachedBinary>& binaries,
           const std::filesystem::path& folder) {
  std::vector<json> entries;
  for (std::size_t i = 0; i < artifacts.size(); ++i) {
    const std::string& stem = artifacts[i].stem;
    const Resources& resources = binaries[i].binary.resources;
    entries.push_back({{"ptx", stem + ".ptx"},
                       {"cubin", stem + ".cubin"},
                       {"registers", resources.registers},
                       {"spill_bytes", resources.spill_bytes},
                       {"static_shared_bytes", resources.shared_bytes}});
  }
  write_artifacts(artifacts, entries, folder);
  for (std::size_t i = 0; i < artifacts.size(); ++i) {
    const Binary& binary = binaries[i].binary;
    write_file(folder / (artifacts[i].stem + ".ptx"), binary.ptx);
    write_file(folder / (artifacts[i].stem + ".cubin"), {binary.cubin.data(), binary.cubin.size()});
  }
}

KernelRow row_of(const Artifact& artifact, const CachedBinary& cached) {
  const Resources& resources = cached.binary.resources;
  return {.report = {.kernel = artifact.plan.kernel,
                     .arch = std::string(artifact.plan.arch.name),
                     .compile_ms = cached.milliseconds,
                     .cache_hit = cached.hit,
                     .resources = resources,
                     .shared_bytes = resources.shared_bytes + artifact.plan.shared_bytes},
          .launch_ms = {}};
}

void compile(const Options& options) {
  const std::vector<Artifact> artifacts = make_artifacts(options.specs, options.architectures);
  const std::vector<CachedBinary> binaries = compile_all(artifacts);
  write(artifacts, binaries, options.out);

  // The artifacts are sorted, so that those of one spec follow each other.
  std::vector<json> objects;
  for (std::size_t begin = 0, end; begin < artifacts.size(); begin = end) {
    const Spec& spec = artifacts[begin].plan.spec;
    std::vector<KernelRow> rows;
    for (end = begin; end < artifacts.size() && artifacts[end].plan.spec == spec; ++end) {
      rows.push_back(row_of(artifacts[end], binaries[end]));
    }
    objects.push_back({{"spec", spec.name}, {"ok", true}, {"kernels", to_json(rows)}});
    if (!options.print_json) fmt::print("{}\n{}\n", spec.name, to_table(rows));
  }
  if (options.print_json) {
    print_json(std::move(objects));
  } else {
    fmt::print("{} kernels in {}\n", artifacts.size(), options.out);
  }
}

}  // namespace

void add_compile(CLI::App& app, int&) {
  const auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("compile", "Compile every kernel of specs, for use offline");
  add_artifact_options(*command, *options);
  command->add_flag("--json", options->print_json, "Print JSON: an object a spec");
  command->footer(
      "Writes .cu, .ptx and .cubin of each kernel and manifest.json.\n\n"
      "Example:\n  octavo compile specs/*.yaml --arch sm_90a --out kernels");
  command->callback([options] { compile(*options); });
}

}  // namespace octavo
