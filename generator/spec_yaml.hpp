// YAML text as a tree whose every node knows its place. Only what a spec needs: one document, plain
// data, bounded in size and depth; anchors, aliases and tags are refused.
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace octavo {

inline constexpr std::size_t kMostYamlBytes = 65'536;

struct Place {
  int line = 1;
  int column = 1;
  auto operator<=>(const Place&) const = default;
};

// The faults of one file, in its order, each said once.
class Faults {
 public:
  // "key: what"; an empty key is left out.
  void add(Place place, std::string_view key, std::string_view what);
  bool empty() const { return faults_.empty(); }
  bool full() const { return faults_.size() >= kMost; }  // further ones would help nobody
  std::vector<std::string> lines(std::string_view file) const;

 private:
  static constexpr std::size_t kMost = 50;
  std::set<std::pair<Place, std::string>> faults_;
};

struct YamlNode {
  enum class Kind { null, scalar, list, map };
  Kind kind = Kind::null;
  Place place;
  std::string key;  // under which it stands, in a map
  Place key_place;
  std::string text;             // scalar
  bool quoted = false;          // scalar
  std::vector<YamlNode> items;  // list or map, in the file's order

  // Filled in by count_choices (spec_sweep.hpp).
  bool sweep = false;       // a list of alternatives
  std::size_t choices = 1;  // values that the node stands for
};

// The tree of the document's top-level map. Duplicate keys are faults, and the tree holds the
// first; what is no YAML, or no such document, is a fault after which the tree is of no use:
// returns false.
bool read_yaml(std::string_view text, YamlNode& root, Faults& faults);

// What was read, for messages, short and printable: a node as `"abc"`, `nothing`, `a map`, `a
// list`; a text without quotes.
std::string shown(const YamlNode& node);
std::string shown(std::string_view text);

}  // namespace octavo
