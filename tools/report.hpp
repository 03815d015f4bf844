// The rows that `run` and `compile` print about kernels.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "runtime/attention.hpp"

namespace octavo {

struct KernelRow {
  KernelReport report;
  std::optional<double> launch_ms;  // none: it was not launched, or by another kernel's launch
};

nlohmann::ordered_json to_json(const std::vector<KernelRow>& rows);
std::string to_table(const std::vector<KernelRow>& rows);

// Prints the objects as --json does: one alone, several as an array.
void print_json(std::vector<nlohmann::ordered_json> objects);

}  // namespace octavo
