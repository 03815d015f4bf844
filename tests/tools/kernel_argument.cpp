#include "tools/kernel_argument.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <set>

#include "runtime/error.hpp"
#include "tests/tools/command.hpp"

using namespace octavo;
using octavo::testing::Folder;

namespace {

template <typename T>
T value_of(const std::string& spec) {
  const KernelArgument argument = parse_kernel_argument(spec);
  CAPTURE(spec);
  CHECK_FALSE(argument.buffer);
  REQUIRE(argument.value.size() == sizeof(T));
  T value;
  std::memcpy(&value, argument.value.data(), sizeof value);
  return value;
}

template <typename T>
std::vector<T> elements_of(const std::string& spec) {
  const KernelArgument argument = parse_kernel_argument(spec);
  REQUIRE(argument.buffer);
  const auto& data = argument.buffer->data;
  std::vector<T> values(data.size() / sizeof(T));
  if (!data.empty()) std::memcpy(values.data(), data.data(), data.size());
  CHECK(argument.buffer->shape == std::vector<std::size_t>{values.size()});
  return values;
}

}  // namespace

TEST_CASE("numbers are passed as their type") {
  CHECK(value_of<std::int8_t>("i8:-128") == -128);
  CHECK(value_of<std::uint16_t>("u16:65535") == 65535);
  CHECK(value_of<std::int32_t>("i32:5") == 5);
  CHECK(value_of<std::int64_t>("i64:-9223372036854775808") == INT64_MIN);
  CHECK(value_of<std::uint64_t>("u64:18446744073709551615") == UINT64_MAX);
  CHECK(value_of<std::uint16_t>("f16:-1.5") == 0xBE00);
  CHECK(value_of<float>("f32:1.5") == 1.5f);
  CHECK(value_of<float>("f32:-inf") == -INFINITY);
  CHECK(value_of<double>("f64:1e-300") == 1e-300);
}

TEST_CASE("buffers are zeros, drawn, or from a file") {
  CHECK(elements_of<float>("buf:f32:3") == std::vector<float>{0, 0, 0});
  CHECK(elements_of<std::uint8_t>("buf:u8:0").empty());
  const auto drawn = elements_of<float>("buf:f32:1000:uniform(7)");
  double sum = 0;
  for (const float value : drawn) {
    CHECK(value >= 0);
    CHECK(value < 1);
    sum += static_cast<double>(value);
  }
  CHECK(std::abs(sum / 1000 - 0.5) < 0.05);
  CHECK(drawn == elements_of<float>("buf:f32:1000:uniform(7)"));
  CHECK(drawn != elements_of<float>("buf:f32:1000:uniform(8)"));
  const auto bytes = elements_of<std::uint8_t>("buf:u8:4000:uniform(1)");
  CHECK(std::set<std::uint8_t>(bytes.begin(), bytes.end()).size() == 256);

  const Folder folder;
  Array array{&element_types()[4], {2, 2}, std::vector<std::byte>(16, std::byte{3})};
  const std::string file = folder.write("a.npy", to_npy(array));
  const KernelArgument argument = parse_kernel_argument("buf:" + file);
  REQUIRE(argument.buffer);
  CHECK(argument.buffer->type->name == "i32");
  CHECK(argument.buffer->shape == array.shape);
  CHECK(argument.buffer->data == array.data);

  const KernelArgument structure = parse_kernel_argument("bytes:" + folder.write("s", "abcde"));
  CHECK(structure.value.size() == 5);
  CHECK(structure.value[4] == std::byte{'e'});
}

TEST_CASE("what is no argument is refused with what was expected") {
  const std::pair<const char*, const char*> rows[] = {
      {"", "expected TYPE:VALUE"},
      {"5", "expected TYPE:VALUE"},
      {"int:5", "there is no type int; expected i8, u8"},
      {"i32:", "expected an integer, not \"\""},
      {"i32:5x", "expected an integer, not \"5x\""},
      {"i32:1.5", "expected an integer"},
      {"i32:2147483648", "out of range"},
      {"i8:-129", "out of range"},
      {"u8:256", "out of range"},
      {"u32:-1", "not negative"},
      {"u64:18446744073709551616", "out of range"},
      {"f32:one", "expected a number"},
      {"f64:1e999", "out of range"},
      {"buf:f32", "expected TYPE:VALUE, buf:TYPE:COUNT"},
      {"buf:f31:4", "there is no type f31"},
      {"buf:f32:-4", "a count of elements"},
      {"buf:f32:4:uniform", "expected uniform(SEED)"},
      {"buf:f32:4:uniform()", "a seed"},
      {"buf:f32:4:normal(1)", "expected uniform(SEED)"},
      {"buf:f64:1000000000000000", "too large"},
      {"buf:/nowhere/a.npy", "/nowhere/a.npy: no such file"},
      {"bytes:/nowhere/b", "/nowhere/b: no such file"},
      {"bytes:/", "no such file"},
  };
  for (const auto& [spec, part] : rows) {
    CAPTURE(std::string(spec));
    std::string text;
    try {
      parse_kernel_argument(spec);
    } catch (const UsageError& error) {
      text = error.what();
    }
    CAPTURE(text);
    CHECK(text.find(part) != std::string::npos);
    CHECK(text.find('\n') == std::string::npos);
  }
}
