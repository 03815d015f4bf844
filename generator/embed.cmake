# Writes OUTPUT, a C++ file with the text of every template under FOLDER, sorted by name.
file(GLOB_RECURSE names RELATIVE ${FOLDER} ${FOLDER}/*.cuh)
list(SORT names)
list(LENGTH names count)

set(rows "")
foreach(name IN LISTS names)
  file(READ ${FOLDER}/${name} text)
  string(APPEND rows "    Template{\"${name}\", R\"embedded(${text})embedded\"},\n")
endforeach()

file(WRITE ${OUTPUT} "#include <array>

#include \"generator/templates.hpp\"

namespace octavo {
namespace {

constexpr std::array<Template, ${count}> kTemplates{{
${rows}}};

}  // namespace

std::span<const Template> templates() { return kTemplates; }

}  // namespace octavo
")
