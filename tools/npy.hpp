// Arrays in NumPy's .npy files: https://numpy.org/doc/stable/reference/generated/numpy.lib.format
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace octavo {

// The types of elements, all little-endian: as PTX names them, and as NumPy does.
struct ElementType {
  std::string_view name;   // "f32"
  std::string_view numpy;  // "<f4"
  std::size_t bytes;
};
std::span<const ElementType> element_types();

struct Array {
  const ElementType* type = nullptr;
  std::vector<std::size_t> shape;  // last axis fastest
  std::vector<std::byte> data;
};

// Versions 1 to 3 of the format, in C order. Throw UsageError, one line that starts with `file`,
// for anything else: a header that is cut off or malformed, big-endian or structured elements,
// Fortran order, a shape that overflows, more or less data than it says.
Array parse_npy(std::span<const std::byte> bytes, const std::string& file);
Array read_npy(const std::filesystem::path& file);

// The file's bytes, version 1.
std::string to_npy(const Array& array);

}  // namespace octavo
