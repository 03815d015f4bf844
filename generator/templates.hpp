// The files of templates/, as they were when the library was built.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace octavo {

struct Template {
  std::string_view name;  // relative to templates/: "scale/token_head.cuh"
  std::string_view text;
};

// All of them, sorted by name.
std::span<const Template> templates();

// The text of one. Throws std::logic_error where there is none: names come from Octavo's own
// tables.
std::string_view template_text(std::string_view name);

// One file of a kernel's source, without its includes and `#pragma once`.
struct Section {
  std::string name;
  std::string text;
};

// Appends `name` to `sections`, after what it includes (`#include "name"`, relative to templates/)
// and what that includes in turn. A file that is there already is not repeated. `text_of` is
// template_text; tests pass their own. Throws std::logic_error for files that include each other,
// for an include that is not at the top of its file, and for an include of anything but a template.
void inline_template(std::string_view name,
                     const std::function<std::string_view(std::string_view)>& text_of,
                     std::vector<Section>& sections);

// Joins neighbouring `namespace octavo {` blocks that only blank lines and comments separate.
std::string merge_namespaces(std::string_view text);

}  // namespace octavo
