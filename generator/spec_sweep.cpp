#include "generator/spec_sweep.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace octavo {
namespace {

constexpr std::array<std::string_view, 3> kNeverSwept{"octavo", "name", "kernels"};

std::size_t bounded(std::size_t count) { return std::min(count, kMostSpecs + 1); }

void count(YamlNode& node, bool inside_list) {
  if (node.kind == YamlNode::Kind::map) {
    for (YamlNode& item : node.items) {
      count(item, false);
      node.choices = bounded(node.choices * item.choices);
    }
  } else if (node.kind == YamlNode::Kind::list && !inside_list && !node.items.empty()) {
    node.sweep = true;
    node.choices = 0;
    for (YamlNode& item : node.items) {
      count(item, true);
      node.choices = bounded(node.choices + item.choices);
    }
  }
}

// The values at `node`, numbered `number`, of which only those in a sweep are told.
void append_suffix(const YamlNode& node, std::size_t number, std::string_view key, bool told,
                   std::string& suffix) {
  const Choice choice(node, number);
  told = told || node.sweep;
  if (choice.node().kind == YamlNode::Kind::scalar) {
    if (told) suffix += fmt::format(".{}-{}", key, choice.node().text);
    return;
  }
  for (std::size_t i = 0; i < choice.node().items.size(); ++i) {
    const YamlNode& item = choice.node().items[i];
    append_suffix(item, choice.item_number(i), item.key, told, suffix);
  }
}

}  // namespace

void count_choices(YamlNode& root) {
  for (YamlNode& item : root.items) {
    if (std::ranges::find(kNeverSwept, item.key) != kNeverSwept.end()) continue;
    count(item, false);
    root.choices = bounded(root.choices * item.choices);
  }
}

Choice::Choice(const YamlNode& node, std::size_t number) : node_(&node), number_(number) {
  while (node_->sweep) {
    auto item = node_->items.begin();
    for (; number_ >= item->choices; ++item) number_ -= item->choices;
    node_ = &*item;
  }
}

std::size_t Choice::item_number(std::size_t i) const {
  std::size_t stride = 1;
  for (std::size_t later = node_->items.size() - 1; later > i; --later) {
    stride = bounded(stride * node_->items[later].choices);
  }
  return number_ / stride % node_->items[i].choices;
}

Choice Choice::item(std::size_t i) const { return {node_->items[i], item_number(i)}; }

std::string sweep_suffix(const YamlNode& root, std::size_t number) {
  std::string suffix;
  append_suffix(root, number, "", false, suffix);
  return suffix;
}

}  // namespace octavo
