#include "generator/spec_scope.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <numeric>

namespace octavo {
namespace {

// Edits of one character that turn one word into the other.
std::size_t distance(std::string_view from, std::string_view to) {
  std::vector<std::size_t> row(to.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (std::size_t i = 0; i < from.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 0; j < to.size(); ++j) {
      const std::size_t replaced = diagonal + (from[i] != to[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, diagonal + 1, row[j] + 1});
    }
  }
  return row.back();
}

std::string did_you_mean(std::string_view read, std::initializer_list<std::string_view> keys) {
  constexpr std::size_t kLongestKey = 40;
  if (read.size() > kLongestKey) return "";
  const auto nearest = std::ranges::min_element(
      keys, {}, [read](std::string_view key) { return distance(read, key); });
  const std::size_t edits = distance(read, *nearest);
  return edits <= 2 && edits < nearest->size() ? fmt::format(" (did you mean {}?)", *nearest) : "";
}

// A plain decimal: no sign but minus, no leading zero, no other base.
std::optional<int> parse_integer(const YamlNode& node) {
  if (node.kind != YamlNode::Kind::scalar || node.quoted) return std::nullopt;
  const std::string_view digits = std::string_view(node.text).substr(node.text.starts_with('-'));
  if (digits.size() > 1 && digits.front() == '0') return std::nullopt;
  int value = 0;
  const char* end = node.text.data() + node.text.size();
  const auto [stop, error] = std::from_chars(node.text.data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

std::optional<double> parse_number(const YamlNode& node) {
  if (node.kind != YamlNode::Kind::scalar || node.quoted) return std::nullopt;
  if (node.text.find_first_not_of("0123456789+-.e") != std::string::npos) return std::nullopt;
  double value = 0;
  const char* end = node.text.data() + node.text.size();
  const auto [stop, error] = std::from_chars(node.text.data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

std::string allowed_text(IntegerRange range) {
  if (range.least == range.most) return fmt::format("{}", range.least);
  if (range.step == 1) {
    return fmt::format("a whole number from {} to {}", range.least, range.most);
  }
  return fmt::format("a multiple of {} from {} to {}", range.step, range.least, range.most);
}

std::string allowed_text(NumberRange range) {
  return fmt::format("{}a number from {} to {}", range.zero_too ? "0 (off) or " : "", range.least,
                     range.most);
}

}  // namespace

void Reading::fault(const std::string& key, std::string_view what) {
  const auto place = places_.find(key);
  faults_.add(place == places_.end() ? Place{} : place->second, key, what);
  faulty_.insert(key);
}

void Reading::refuse_if(bool impossible, const std::string& key,
                        std::initializer_list<std::string_view> others, std::string_view what) {
  if (!impossible || faulty(key)) return;
  if (std::ranges::any_of(others, [this](std::string_view other) { return faulty(other); })) return;
  fault(key, what);
}

Scope::Scope(Reading& reading, std::string path, std::optional<Choice> choice, Place parent,
             std::initializer_list<std::string_view> keys)
    : reading_(reading), path_(std::move(path)), place_(choice ? choice->node().place : parent) {
  if (choice && choice->node().kind != YamlNode::Kind::map) {
    reading_.fault(path_, fmt::format("read {}; allowed: a map of {}", shown(choice->node()),
                                      fmt::join(keys, ", ")));
    readable_ = false;
    return;
  }
  map_ = choice;
  for (std::string_view key : keys) {
    const std::optional<Choice> value = find(key);
    reading_.note(path_of(key), value ? value->node().place : place_);
  }
  if (choice) refuse_unknown(choice->node(), keys);
}

void Scope::refuse_unknown(const YamlNode& map,
                           std::initializer_list<std::string_view> keys) const {
  for (const YamlNode& entry : map.items) {
    if (std::ranges::find(keys, entry.key) != keys.end()) continue;
    reading_.faults().add(entry.key_place, path_of(shown(entry.key)),
                          fmt::format("unknown key; allowed: {}{}", fmt::join(keys, ", "),
                                      did_you_mean(entry.key, keys)));
  }
}

std::optional<Choice> Scope::find(std::string_view key) const {
  if (!map_) return std::nullopt;
  const auto& items = map_->node().items;
  const auto item = std::ranges::find(items, key, &YamlNode::key);
  if (item == items.end()) return std::nullopt;
  return map_->item(static_cast<std::size_t>(item - items.begin()));
}

bool Scope::holds_map(std::string_view key) const {
  const std::optional<Choice> choice = find(key);
  return choice && choice->node().kind == YamlNode::Kind::map;
}

std::string Scope::path_of(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

Scope Scope::inner(std::string_view key, std::initializer_list<std::string_view> keys) const {
  return {reading_, path_of(key), find(key), place_, keys};
}

void Scope::fault(std::string_view key, std::string_view what) const {
  if (readable_) reading_.fault(path_of(key), what);
}

int Scope::integer(std::string_view key, IntegerRange range, std::optional<int> otherwise,
                   std::string_view more) const {
  const std::optional<Choice> choice = find(key);
  if (!choice && otherwise) return *otherwise;
  const std::string allowed = allowed_text(range) + std::string(more);
  if (!choice) {
    fault(key, fmt::format("missing; allowed: {}", allowed));
    return range.least;
  }
  const std::optional<int> value = parse_integer(choice->node());
  if (value && *value >= range.least && *value <= range.most && *value % range.step == 0) {
    return *value;
  }
  fault(key, fmt::format("read {}; allowed: {}", shown(choice->node()), allowed));
  return range.least;
}

double Scope::number(std::string_view key, NumberRange range, double otherwise) const {
  const std::optional<Choice> choice = find(key);
  if (!choice) return otherwise;
  const std::optional<double> value = parse_number(choice->node());
  const bool off = value && *value == 0 && range.zero_too;
  if (off) return 0;
  if (value && *value >= range.least && *value <= range.most) return *value;
  fault(key, fmt::format("read {}; allowed: {}", shown(choice->node()), allowed_text(range)));
  return otherwise;
}

bool Scope::boolean(std::string_view key, bool otherwise) const {
  const std::optional<Choice> choice = find(key);
  if (!choice) return otherwise;
  const YamlNode& node = choice->node();
  const bool plain = node.kind == YamlNode::Kind::scalar && !node.quoted;
  if (plain && node.text == "true") return true;
  if (plain && node.text == "false") return false;
  fault(key, fmt::format("read {}; allowed: true, false", shown(node)));
  return otherwise;
}

}  // namespace octavo
