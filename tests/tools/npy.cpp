#include "tools/npy.hpp"

#include <doctest/doctest.h>

#include <cstring>

#include "runtime/error.hpp"

using namespace octavo;

namespace {

Array parse(const std::string& bytes) { return parse_npy(std::as_bytes(std::span(bytes)), "f"); }

std::string file_of(const std::string& header, std::size_t data_bytes, char version = 1) {
  std::string bytes("\x93NUMPY", 6);
  bytes += {version, '\0', static_cast<char>(header.size() & 0xFF),
            static_cast<char>(header.size() >> 8)};
  if (version > 1) bytes += {'\0', '\0'};
  bytes += header;
  for (std::size_t i = 0; i < data_bytes; ++i) bytes += static_cast<char>(i + 1);
  return bytes;
}

// As NumPy writes it.
const std::string kHeader = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }     \n";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t place = text.find(from);
  REQUIRE(place != std::string::npos);
  return text.replace(place, from.size(), to);
}

void check_refused(const std::string& bytes, const std::string& part) {
  CAPTURE(part);
  try {
    parse(bytes);
    FAIL("was taken");
  } catch (const UsageError& error) {
    const std::string text = error.what();
    CAPTURE(text);
    CHECK(text.starts_with("f: "));
    CHECK(text.find('\n') == std::string::npos);
    CHECK(text.find(part) != std::string::npos);
  }
}

}  // namespace

TEST_CASE("an array is read with its type, shape and bytes") {
  for (const char version : {'\1', '\2', '\3'}) {
    const Array array = parse(file_of(kHeader, 24, version));
    CHECK(array.type->name == "f32");
    CHECK(array.shape == std::vector<std::size_t>{2, 3});
    REQUIRE(array.data.size() == 24);
    CHECK(array.data[23] == std::byte{24});
  }
  CHECK(parse(file_of(replaced(kHeader, "(2, 3)", "()"), 4)).shape.empty());
  CHECK(parse(file_of(replaced(kHeader, "(2, 3)", "(0,)"), 0)).shape ==
        std::vector<std::size_t>{0});
}

TEST_CASE("what is written is read back, and the data is aligned") {
  for (const ElementType& type : element_types())
    for (const std::vector<std::size_t>& shape :
         {std::vector<std::size_t>{}, {5}, {2, 3, 1}, {0, 7}}) {
      Array array{&type, shape, {}};
      std::size_t bytes = type.bytes;
      for (const std::size_t size : shape) bytes *= size;
      for (std::size_t i = 0; i < bytes; ++i) array.data.push_back(std::byte(i * 37 + 1));
      const std::string text = to_npy(array);
      CHECK((text.size() - bytes) % 64 == 0);
      const Array back = parse(text);
      CHECK(back.type == array.type);
      CHECK(back.shape == array.shape);
      CHECK(back.data == array.data);
    }
}

TEST_CASE("what is no such file is refused") {
  const std::string whole = file_of(kHeader, 24);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    CHECK_THROWS_AS(parse(whole.substr(0, size)), UsageError);
  }
  check_refused("", "no .npy file");
  check_refused(replaced(whole, "NUMPY", "NUMPI"), "no .npy file");
  check_refused(file_of(kHeader, 24, 4), "version 4");
  check_refused(whole + "x", "25 bytes of data; its shape takes 24");
  check_refused(file_of(replaced(kHeader, "<f4", ">f4"), 24), ">f4; expected one of");
  check_refused(file_of(replaced(kHeader, "'<f4'", "[('a', '<f4')]"), 24), "descr");
  check_refused(file_of(replaced(kHeader, "False", "True"), 24), "np.ascontiguousarray");
  check_refused(file_of(replaced(kHeader, "(2, 3)", "(-2, 3)"), 24), "no list of sizes");
  check_refused(file_of(replaced(kHeader, "(2, 3)", "(99999999999, 999999999999)"), 24),
                "too large");
  check_refused(file_of(std::string(5000, ' '), 24), "header of 5000 bytes");
}
