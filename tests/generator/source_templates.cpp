// How template files become one text.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>

#include "generator/templates.hpp"

namespace octavo {
namespace {

using Files = std::map<std::string, std::string, std::less<>>;

std::vector<Section> sections_of(const Files& files, const std::vector<std::string>& roots) {
  std::vector<Section> sections;
  const auto text_of = [&](std::string_view name) -> std::string_view {
    return files.find(name)->second;
  };
  for (const std::string& root : roots) inline_template(root, text_of, sections);
  return sections;
}

std::string names_of(const std::vector<Section>& sections) {
  std::string names;
  for (const Section& section : sections) names += section.name + ' ';
  return names;
}

const std::filesystem::path kFolder = std::filesystem::path(OCTAVO_SOURCE_DIR) / "templates";

}  // namespace

TEST_CASE("the library holds every template as it is on disk") {
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(kFolder)) {
    if (entry.path().extension() != ".cuh") continue;
    ++files;
    std::ostringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    CHECK(template_text(std::filesystem::relative(entry.path(), kFolder).string()) == text.str());
  }
  CHECK(files > 0);
  CHECK(templates().size() == files);
  CHECK(std::ranges::is_sorted(templates(), {}, &Template::name));
}

TEST_CASE("the README shows decode as its template is") {
  const auto text_of = [](const std::filesystem::path& file) {
    std::ostringstream text;
    text << std::ifstream(file).rdbuf();
    return text.str();
  };
  const std::string decode = text_of(kFolder / "kernels/decode.cuh");
  const std::size_t begin = decode.find("// Attention"), end = decode.find("\n}\n", begin);
  REQUIRE(end != std::string::npos);
  const std::string readme = text_of(kFolder.parent_path() / "README.md");
  CHECK(readme.find(decode.substr(begin, end + 3 - begin)) != std::string::npos);
}

TEST_CASE("a template that does not exist is an error that names it") {
  CHECK_THROWS_WITH_AS(template_text("scale/nowhere.cuh"),
                       "templates/scale/nowhere.cuh does not exist", std::logic_error);
  CHECK_THROWS_WITH_AS(template_text(""), "templates/ does not exist", std::logic_error);
}

TEST_CASE("what a file includes comes before it, and once") {
  const Files files{{"a", "#pragma once\n\n#include \"b\"\n#include \"c\"\n\nint a;\n"},
                    {"b", "#pragma once\n#include \"c\"\nint b;\n"},
                    {"c", "// What c is.\n#pragma once\n\nint c;\n"},
                    {"d", "#include \"b\"\nint d;\n"}};
  const std::vector<Section> sections = sections_of(files, {"a", "d", "a"});
  CHECK(names_of(sections) == "c b a d ");
  CHECK(sections[0].text == "// What c is.\n\nint c;\n");
  CHECK(sections[1].text == "int b;\n");
  CHECK(sections[2].text == "int a;\n");
}

TEST_CASE("a text without a last newline gets one, and an empty one stays") {
  CHECK(sections_of({{"a", "int a;"}}, {"a"})[0].text == "int a;\n");
  CHECK(sections_of({{"a", ""}}, {"a"})[0].text.empty());
}

TEST_CASE("what no template may do") {
  CHECK_THROWS_WITH_AS(sections_of({{"a", "#include \"b\"\n"}, {"b", "#include \"a\"\n"}}, {"a"}),
                       "templates/a includes itself, by way of a, b", std::logic_error);
  CHECK_THROWS_WITH_AS(
      sections_of({{"a", "int a;\n#include \"b\"\n"}}, {"a"}),
      "templates/a: \"#include \"b\"\" comes after code; includes stand at the top "
      "of a file",
      std::logic_error);
  CHECK_THROWS_WITH_AS(
      sections_of({{"a", "#include <cuda_fp8.h>\n"}}, {"a"}),
      "templates/a: \"#include <cuda_fp8.h>\": a template includes only templates, "
      "as \"folder/file.cuh\"",
      std::logic_error);
}

TEST_CASE("neighbouring namespace blocks become one") {
  CHECK(merge_namespaces("namespace octavo {\n\nint a;\n\n}  // namespace octavo\n\n"
                         "// ---- b\n\nnamespace octavo {\n\nint b;\n\n}  // namespace octavo\n") ==
        "namespace octavo {\n\nint a;\n\n// ---- b\n\nint b;\n\n}  // namespace octavo\n");
}

TEST_CASE("blocks with something between them stay apart") {
  const std::string text =
      "namespace octavo {\nint a;\n}  // namespace octavo\nint outside;\n"
      "namespace octavo {\nint b;\n}  // namespace octavo\n";
  CHECK(merge_namespaces(text) == text);
}

}  // namespace octavo
