#include "generator/spec_yaml.hpp"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <sstream>

namespace octavo {
namespace {

constexpr std::size_t kMostDepth = 8;  // of lists and maps; the schema with its sweeps needs five
constexpr std::size_t kMostShown = 60;

Place place_of(const YAML::Mark& mark) {
  return mark.is_null() ? Place{} : Place{mark.line + 1, mark.column + 1};
}

YamlNode node_at(YamlNode::Kind kind, Place place) {
  YamlNode node;
  node.kind = kind;
  node.place = place;
  return node;
}

struct Refused {
  Place place;
  std::string what;
};

// Builds the tree from the parser's events. Throws Refused.
class Builder final : public YAML::EventHandler {
 public:
  Builder(YamlNode& root, Faults& faults) : root_(root), faults_(faults) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) throw Refused{place_of(mark), "a second document; allowed: one"};
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    // The mark of a value that is not there is wherever the next thing stands; its key is better.
    const bool value = !open_.empty() && open_.back().has_key;
    const Place place = value ? open_.back().key_place : place_of(mark);
    add(node_at(YamlNode::Kind::null, place), anchor, "");
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw Refused{place_of(mark), "an alias; allowed: plain values, written out"};
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    const Place place = place_of(mark);
    if (expects_key()) {
      check(place, anchor, tag);
      open_.back().key = value;
      open_.back().key_place = place;
      open_.back().has_key = true;
      return;
    }
    YamlNode node = node_at(YamlNode::Kind::scalar, place);
    node.text = value;
    node.quoted = tag == "!";  // what the parser calls a quoted scalar
    add(std::move(node), anchor, tag);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(YamlNode::Kind::list, place_of(mark), anchor, tag);
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(YamlNode::Kind::map, place_of(mark), anchor, tag);
  }
  void OnMapEnd() override { close(); }

 private:
  // A list or map whose end is still to come.
  struct Open {
    YamlNode node;
    bool has_key = false;  // map: a key was read, its value comes next
    std::string key;
    Place key_place;
  };

  bool expects_key() const {
    return !open_.empty() && open_.back().node.kind == YamlNode::Kind::map && !open_.back().has_key;
  }

  static void check(Place place, YAML::anchor_t anchor, const std::string& tag) {
    if (anchor != 0) throw Refused{place, "an anchor; allowed: plain values, written out"};
    if (!tag.empty() && tag != "?" && tag != "!") {
      throw Refused{place, fmt::format("the tag {}; allowed: plain values", shown(tag))};
    }
  }

  void open(YamlNode::Kind kind, Place place, YAML::anchor_t anchor, const std::string& tag) {
    check(place, anchor, tag);
    if (expects_key()) throw Refused{place, "a list or map as a key; allowed: a word"};
    if (open_.size() == kMostDepth) {
      throw Refused{place,
                    fmt::format("more than {} lists and maps inside each other", kMostDepth)};
    }
    open_.emplace_back().node = node_at(kind, place);
  }

  void close() {
    YamlNode node = std::move(open_.back().node);
    open_.pop_back();
    place_node(std::move(node));
  }

  void add(YamlNode node, YAML::anchor_t anchor, const std::string& tag) {
    check(node.place, anchor, tag);
    if (expects_key()) throw Refused{node.place, "nothing as a key; allowed: a word"};
    place_node(std::move(node));
  }

  void place_node(YamlNode node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = open_.back();
    if (parent.node.kind == YamlNode::Kind::list) {
      parent.node.items.push_back(std::move(node));
      return;
    }
    parent.has_key = false;
    auto& items = parent.node.items;
    const auto first = std::ranges::find(items, parent.key, &YamlNode::key);
    if (first != items.end()) {
      faults_.add(
          parent.key_place, path(),
          fmt::format("a second time, first in line {}; allowed: once", first->key_place.line));
      return;
    }
    node.key = parent.key;
    node.key_place = parent.key_place;
    items.push_back(std::move(node));
  }

  // Of the key whose value is being read: "attention.head_dim".
  std::string path() const {
    std::string path;
    for (const Open& each : open_) {
      if (each.node.kind != YamlNode::Kind::map) continue;
      path += (path.empty() ? "" : ".") + shown(each.key);
    }
    return path;
  }

  YamlNode& root_;
  Faults& faults_;
  std::vector<Open> open_;  // outermost first
  int documents_ = 0;
};

}  // namespace

void Faults::add(Place place, std::string_view key, std::string_view what) {
  if (full()) return;
  faults_.emplace(place, key.empty() ? std::string(what) : fmt::format("{}: {}", key, what));
}

std::vector<std::string> Faults::lines(std::string_view file) const {
  std::vector<std::string> lines;
  lines.reserve(faults_.size() + 1);
  for (const auto& [place, what] : faults_) {
    lines.push_back(fmt::format("{}:{}:{}: {}", file, place.line, place.column, what));
  }
  if (full()) lines.push_back(fmt::format("{}: only the first {} faults are shown", file, kMost));
  return lines;
}

bool read_yaml(std::string_view text, YamlNode& root, Faults& faults) {
  if (text.size() > kMostYamlBytes) {
    faults.add(
        {}, "",
        fmt::format("more than {} bytes; allowed: a spec, which needs less", kMostYamlBytes));
    return false;
  }
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    Builder builder(root, faults);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    faults.add(place_of(error.mark), "", fmt::format("not YAML: {}", shown(error.msg)));
    return false;
  } catch (const Refused& refused) {
    faults.add(refused.place, "", refused.what);
    return false;
  }
  if (root.kind == YamlNode::Kind::map) return true;
  faults.add(root.place, "",
             fmt::format("read {}; allowed: a map of octavo, name, attention, ...", shown(root)));
  return false;
}

std::string shown(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::scalar:
      return fmt::format("\"{}\"", shown(node.text));
    case YamlNode::Kind::list:
      return node.items.empty() ? "an empty list" : "a list";
    case YamlNode::Kind::map:
      return node.items.empty() ? "an empty map" : "a map";
    case YamlNode::Kind::null:
      break;
  }
  return "nothing";
}

std::string shown(std::string_view text) {
  std::string result;
  for (const char c : text.substr(0, kMostShown)) {
    const bool printable = c >= ' ' && c <= '~';
    result +=
        printable ? std::string(1, c) : fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  }
  return result + (text.size() > kMostShown ? "..." : "");
}

}  // namespace octavo
