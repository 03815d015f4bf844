#include "generator/templates.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <stdexcept>

namespace octavo {
namespace {

constexpr std::string_view kInclude = "#include";
constexpr std::string_view kOpen = "namespace octavo {";
constexpr std::string_view kClose = "}  // namespace octavo";

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

bool blank_or_comment(std::string_view line) {
  const std::size_t first = line.find_first_not_of(" \t");
  return first == std::string_view::npos || line.substr(first).starts_with("//");
}

// The name between the quotes of an include line; nothing if the line includes nothing.
std::optional<std::string_view> included_name(std::string_view line, std::string_view file) {
  if (!line.starts_with(kInclude)) return std::nullopt;
  const std::size_t open = line.find('"');
  const std::size_t close = line.rfind('"');
  if (open == std::string_view::npos || open == close) {
    throw std::logic_error(fmt::format(
        "templates/{}: \"{}\": a template includes only templates, as \"folder/file.cuh\"", file,
        line));
  }
  return line.substr(open + 1, close - open - 1);
}

class Inliner {
 public:
  Inliner(const std::function<std::string_view(std::string_view)>& text_of,
          std::vector<Section>& sections)
      : text_of_(text_of), sections_(sections) {}

  void visit(std::string_view name) {
    if (std::ranges::find(sections_, name, &Section::name) != sections_.end()) return;
    if (std::ranges::find(open_, name) != open_.end()) {
      throw std::logic_error(
          fmt::format("templates/{} includes itself, by way of {}", name, fmt::join(open_, ", ")));
    }
    open_.emplace_back(name);
    std::string text = own_text(name);
    sections_.push_back({std::string(name), std::move(text)});
    open_.pop_back();
  }

 private:
  // Visits what the file includes and returns the rest of it.
  std::string own_text(std::string_view name) {
    std::string text;
    bool code_seen = false;
    for (std::string_view line : split_lines(text_of_(name))) {
      if (line == "#pragma once") continue;
      if (const auto included = included_name(line, name)) {
        if (code_seen) {
          throw std::logic_error(fmt::format(
              "templates/{}: \"{}\" comes after code; includes stand at the top of a file", name,
              line));
        }
        visit(*included);
        continue;
      }
      code_seen = code_seen || !blank_or_comment(line);
      // A removed line leaves no second blank line, and none at the start.
      const bool blank_before = text.empty() || text.ends_with("\n\n");
      if (line.empty() && blank_before) continue;
      text += line;
      text += '\n';
    }
    return text;
  }

  const std::function<std::string_view(std::string_view)>& text_of_;
  std::vector<Section>& sections_;
  std::vector<std::string> open_;  // the files being visited, outermost first
};

}  // namespace

std::string_view template_text(std::string_view name) {
  const std::span<const Template> all = templates();
  const auto found = std::ranges::lower_bound(all, name, {}, &Template::name);
  if (found == all.end() || found->name != name) {
    throw std::logic_error(fmt::format("templates/{} does not exist", name));
  }
  return found->text;
}

void inline_template(std::string_view name,
                     const std::function<std::string_view(std::string_view)>& text_of,
                     std::vector<Section>& sections) {
  Inliner(text_of, sections).visit(name);
}

std::string merge_namespaces(std::string_view text) {
  std::vector<std::string_view> kept;
  std::optional<std::size_t> close;  // of the last block, while nothing but comments came after it
  for (std::string_view line : split_lines(text)) {
    if (line == kOpen && close) {
      kept.erase(kept.begin() + static_cast<std::ptrdiff_t>(*close));
      close.reset();
      continue;
    }
    if (line == kClose) {
      close = kept.size();
    } else if (!blank_or_comment(line)) {
      close.reset();
    }
    kept.push_back(line);
  }

  std::string merged;
  for (std::string_view line : kept) {
    if (line.empty() && (merged.empty() || merged.ends_with("\n\n"))) continue;
    merged += line;
    merged += '\n';
  }
  if (merged.ends_with("\n\n")) merged.pop_back();
  return merged;
}

}  // namespace octavo
