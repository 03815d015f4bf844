// Scope: one map of the schema, read key by key with the types and ranges that the schema allows.
#pragma once

#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "generator/spec.hpp"
#include "generator/spec_sweep.hpp"
#include "generator/spec_yaml.hpp"

namespace octavo {

// The reading of one spec: where its keys stand, and which of them are faulty. Keys are whole
// paths, "attention.head_dim".
class Reading {
 public:
  explicit Reading(Faults& faults) : faults_(faults) {}

  void note(const std::string& key, Place place) { places_.emplace(key, place); }

  // A fault in the key's value.
  void fault(const std::string& key, std::string_view what);

  // An impossible combination: a fault of `key`, unless it or one of `others` is faulty already.
  void refuse_if(bool impossible, const std::string& key,
                 std::initializer_list<std::string_view> others, std::string_view what);

  Faults& faults() { return faults_; }

 private:
  bool faulty(std::string_view key) const { return faulty_.contains(key); }

  Faults& faults_;
  std::map<std::string, Place, std::less<>> places_;
  std::set<std::string, std::less<>> faulty_;
};

struct IntegerRange {
  int least = 0;
  int most = 0;
  int step = 1;  // only its multiples
};

struct NumberRange {
  double least = 0;
  double most = 0;
  bool zero_too = false;
};

class Scope {
 public:
  // The map that `choice` stands for, at the path `path` (empty for the top level). Keys other than
  // `keys` are faults. Where there is no choice the map is empty, and its keys stand at `parent`; a
  // choice that is no map is a fault.
  Scope(Reading& reading, std::string path, std::optional<Choice> choice, Place parent,
        std::initializer_list<std::string_view> keys);

  // The map at one of the keys.
  Scope inner(std::string_view key, std::initializer_list<std::string_view> keys) const;

  std::string path_of(std::string_view key) const;
  std::optional<Choice> find(std::string_view key) const;
  bool has(std::string_view key) const { return find(key).has_value(); }
  bool holds_map(std::string_view key) const;

  // The key's value. Without it, `otherwise`; where that is nothing, the key is missing, a fault.
  // In place of a faulty value comes one that is allowed. `more` ends the list of what is allowed.
  int integer(std::string_view key, IntegerRange range, std::optional<int> otherwise,
              std::string_view more = "") const;
  double number(std::string_view key, NumberRange range, double otherwise) const;
  bool boolean(std::string_view key, bool otherwise) const;

  // A value by its name, which is one of `allowed`.
  template <class Enum>
  Enum name(std::string_view key, std::initializer_list<Enum> allowed, Enum otherwise,
            std::string_view more = "") const {
    const std::optional<Choice> choice = find(key);
    if (!choice) return otherwise;
    std::string names;
    for (Enum value : allowed) {
      if (choice->node().text == name_of(value)) return value;
      names += (names.empty() ? "" : ", ") + std::string(name_of(value));
    }
    fault(key, "read " + shown(choice->node()) + "; allowed: " + names + std::string(more));
    return otherwise;
  }

  // A fault in the key's value.
  void fault(std::string_view key, std::string_view what) const;

 private:
  void refuse_unknown(const YamlNode& map, std::initializer_list<std::string_view> keys) const;

  Reading& reading_;
  std::string path_;
  Place place_;
  std::optional<Choice> map_;
  bool readable_ = true;  // false where something else than a map stands, which was said
};

}  // namespace octavo
