#include "generator/source.hpp"

#include <fmt/format.h>

#include "generator/templates.hpp"

namespace octavo {
namespace {

// A line of dashes up to the 100th column, with what follows named in it.
std::string heading(std::string_view name) {
  return fmt::format("// ---- {} {:-<{}}\n\n", name, "", name.size() < 90 ? 91 - name.size() : 1);
}

std::string commented(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    result += fmt::format("//   {}\n", text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return result;
}

// What the plan chose, without what its kernel does not have.
std::string decisions(const Plan& plan) {
  const Tunables& tunables = plan.tunables;
  std::string text = fmt::format("warps: {}", tunables.warps);
  const auto add = [&text](std::string_view name, int value) {
    if (value > 0) text += fmt::format(", {}: {}", name, value);
  };
  add("stages", tunables.stages);
  add("tile_tokens", tunables.tile_tokens);
  add("row_tiles", tunables.row_tiles);
  add("chunk", tunables.chunk);
  if (plan.kernel == KernelKind::decode) {
    text += fmt::format(", merge: {}", tunables.merge == Merge::fused ? "fused" : "kernel");
  }
  return text;
}

// The spec's name is left out: kernels that differ in nothing else are one kernel, compiled once.
std::string banner(const Plan& plan) {
  Spec nameless = plan.spec;
  nameless.name.clear();
  return fmt::format(
      "// Octavo {}: {} for {}. Generated; edit the spec or templates/ instead.\n"
      "//\n"
      "// Spec {}\n{}"
      "//\n"
      "// Plan\n"
      "//   {}\n"
      "//   {} threads, {} bytes of dynamic shared memory\n\n",
      OCTAVO_VERSION, name_of(plan.kernel), plan.arch.name, digest(nameless),
      commented(canonical_yaml(nameless)), decisions(plan), plan.threads, plan.shared_bytes);
}

std::string constants(const Plan& plan) {
  std::string text = heading("constants") + "namespace octavo {\n\n";
  for (const Constant& constant : plan.constants) {
    text += fmt::format("constexpr {} {} = {};\n", constant.type, constant.name, constant.value);
  }
  return text + "\n}  // namespace octavo\n\n";
}

// Instructions whose text is made for the plan.
std::string instructions(const Plan& plan) {
  if (plan.instructions.empty()) return "";
  std::string text = heading("wgmma") + "namespace octavo {\n\n" +
                     "// d = a * b, or d + a * b, while the warpgroup goes on.\n";
  for (const Wgmma& instruction : plan.instructions) text += definition(instruction) + '\n';
  return text + "}  // namespace octavo\n\n";
}

std::string joined(const std::vector<Section>& sections, std::size_t first) {
  std::string text;
  for (std::size_t i = first; i < sections.size(); ++i) {
    text += heading("templates/" + sections[i].name) + sections[i].text + '\n';
  }
  return text;
}

}  // namespace

Source emit(const Plan& plan) {
  std::vector<Section> sections;
  inline_template("arguments.cuh", template_text, sections);
  const std::size_t arguments = sections.size();
  for (const Policy& policy : plan.policies) inline_template(policy.file, template_text, sections);
  inline_template(plan.skeleton, template_text, sections);

  const std::vector<Section> head(sections.begin(), sections.begin() + arguments);
  const std::string text = banner(plan) + joined(head, 0) + constants(plan) + instructions(plan) +
                           joined(sections, arguments);
  return {merge_namespaces(text), plan.entry};
}

}  // namespace octavo
