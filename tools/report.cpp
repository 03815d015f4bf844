#include "tools/report.hpp"

#include <fmt/format.h>

#include "tools/terminal.hpp"

namespace octavo {

using json = nlohmann::ordered_json;

json to_json(const std::vector<KernelRow>& rows) {
  json kernels = json::array();
  for (const auto& [report, launch_ms] : rows) {
    kernels.push_back({{"kernel", name_of(report.kernel)},
                       {"arch", report.arch},
                       {"compile_ms", report.compile_ms},
                       {"cache", report.cache_hit ? "hit" : "miss"},
                       {"registers", report.resources.registers},
                       {"spill_bytes", report.resources.spill_bytes},
                       {"shared_bytes", report.shared_bytes},
                       {"launch_ms", launch_ms ? json(*launch_ms) : json(nullptr)}});
  }
  return kernels;
}

std::string to_table(const std::vector<KernelRow>& rows) {
  std::vector<std::vector<std::string>> cells = {
      {"kernel", "arch", "compile", "cache", "registers", "spill", "shared", "launch"}};
  for (const auto& [report, launch_ms] : rows) {
    cells.push_back({std::string(name_of(report.kernel)), report.arch,
                     fmt::format("{:.1f} ms", report.compile_ms), report.cache_hit ? "hit" : "miss",
                     fmt::to_string(report.resources.registers),
                     fmt::format("{} B", report.resources.spill_bytes),
                     fmt::format("{} B", report.shared_bytes),
                     launch_ms ? fmt::format("{:.3f} ms", *launch_ms) : "-"});
  }
  return table(cells);
}

void print_json(std::vector<json> objects) {
  const json whole = objects.size() == 1 ? std::move(objects.front()) : json(std::move(objects));
  fmt::print("{}\n", whole.dump(2));
}

}  // namespace octavo
