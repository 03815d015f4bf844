// Sweeps: a list where a spec has one value stands for each of its items in turn.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "generator/spec_yaml.hpp"

namespace octavo {

inline constexpr std::size_t kMostSpecs = 10'000;  // of one file

// Marks the lists that are sweeps and counts what each node stands for: a list the sum of its
// items, a map the product of its values. Lists under the top-level keys `octavo`, `name` and
// `kernels`, empty lists, and lists directly in a list are no sweeps. Counts end at kMostSpecs + 1.
void count_choices(YamlNode& root);

// One of the values that a node stands for, by its number: in the file's order, the last key
// varying fastest.
class Choice {
 public:
  Choice(const YamlNode& node, std::size_t number);

  const YamlNode& node() const { return *node_; }

  // Of a map: the choice for its i-th item, and that choice's number.
  Choice item(std::size_t i) const;
  std::size_t item_number(std::size_t i) const;

 private:
  const YamlNode* node_;
  std::size_t number_;
};

// What tells one of the root's choices from the others, for the spec's name:
// ".sliding_window-4096".
std::string sweep_suffix(const YamlNode& root, std::size_t number);

}  // namespace octavo
