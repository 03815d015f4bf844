#include "ptx/scopes.hpp"

#include <fmt/format.h>

#include <charconv>

namespace octavo::emulator::ptx {
namespace {

constexpr int kDeepest = 128;
constexpr std::string_view kComponents[] = {".x", ".y", ".z", ".w"};

}  // namespace

Scopes::Scopes(const std::set<std::string, std::less<>>& taken) : taken_(taken), scopes_(1) {}

bool Scopes::open() {
  const int depth = scopes_[current_].depth + 1;
  if (depth > kDeepest) return false;
  Scope scope;
  scope.parent = current_;
  scope.depth = depth;
  scopes_.push_back(std::move(scope));
  current_ = static_cast<Id>(scopes_.size() - 1);
  return true;
}

bool Scopes::close() {
  if (current_ == 0) return false;
  current_ = scopes_[current_].parent;
  return true;
}

bool Scopes::declare_registers(std::string_view name, Type type, std::uint32_t count, bool range,
                               std::uint8_t width) {
  Scope& scope = scopes_[current_];
  auto& table = range ? scope.ranges : scope.registers;
  return table.try_emplace(std::string(name), Declared{type, count, width}).second;
}

std::optional<Scopes::Declared> Scopes::declared(const Scope& scope, std::string_view name) const {
  if (const auto one = scope.registers.find(name); one != scope.registers.end()) return one->second;
  if (scope.ranges.empty()) return std::nullopt;
  // "%r15" may be number 15 of "%r" or number 5 of "%r1".
  constexpr std::size_t kMostDigits = 10;
  for (std::size_t digits = 1; digits <= kMostDigits && digits < name.size(); ++digits) {
    const std::string_view number = name.substr(name.size() - digits);
    if (number[0] < '0' || number[0] > '9') break;
    if (number[0] == '0' && digits > 1) continue;
    const auto range = scope.ranges.find(name.substr(0, name.size() - digits));
    if (range == scope.ranges.end()) continue;
    std::uint64_t index = 0;
    std::from_chars(number.data(), number.data() + digits, index);
    if (index < range->second.count) return range->second;
  }
  return std::nullopt;
}

std::vector<RegisterId> Scopes::find_registers(std::string_view name) {
  for (Id id = current_;; id = scopes_[id].parent) {
    Scope& scope = scopes_[id];
    if (const auto used = scope.used.find(name); used != scope.used.end()) return used->second;
    if (const auto found = declared(scope, name)) {
      std::vector<RegisterId> ids;
      for (std::uint8_t i = 0; i < found->width; ++i) {
        ids.push_back(static_cast<RegisterId>(registers_.size()));
        const std::string_view component = found->width > 1 ? kComponents[i] : "";
        registers_.push_back({fmt::format("{}{}", name, component), found->type});
      }
      return scope.used.emplace(name, std::move(ids)).first->second;
    }
    if (id == 0) return {};
  }
}

std::string Scopes::declare_name(std::string_view name) {
  Scope& scope = scopes_[current_];
  if (scope.names.contains(name)) return {};
  std::string unique(name);
  while (taken_.contains(unique) || unique_.contains(unique)) {
    unique = fmt::format("{}.{}", name, ++repeats_[std::string(name)]);
  }
  unique_.insert(unique);
  scope.names.emplace(name, unique);
  return unique;
}

std::optional<std::string> Scopes::find_name(std::string_view name, Id scope) const {
  for (Id id = scope;; id = scopes_[id].parent) {
    const auto found = scopes_[id].names.find(name);
    if (found != scopes_[id].names.end()) return found->second;
    if (id == 0) return std::nullopt;
  }
}

}  // namespace octavo::emulator::ptx
