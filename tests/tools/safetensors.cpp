#include "tools/safetensors.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <string>

#include "runtime/error.hpp"

using namespace octavo;

namespace {

std::vector<std::byte> file_of(const std::string& header, std::size_t data_bytes) {
  const std::uint64_t size = header.size();
  std::vector<std::byte> bytes(8 + size + data_bytes);
  std::memcpy(bytes.data(), &size, 8);
  std::memcpy(bytes.data() + 8, header.data(), size);
  for (std::size_t i = 0; i < data_bytes; ++i) bytes[8 + size + i] = std::byte(i & 0x3F);
  return bytes;
}

// q [2, 1, 4, 16], k [2, 3, 2, 16], v [2, 3, 2, 8], bf16: 256, 384 and 192 bytes.
const std::string kQ = R"("q":{"dtype":"BF16","shape":[2,1,4,16],"data_offsets":[0,256]})";
const std::string kK = R"("k":{"dtype":"BF16","shape":[2,3,2,16],"data_offsets":[256,640]})";
const std::string kV = R"("v":{"dtype":"BF16","shape":[2,3,2,8],"data_offsets":[640,832]})";

std::string header_of(const std::string& q, const std::string& k, const std::string& v) {
  return "{\"__metadata__\":{\"format\":\"pt\"}," + q + "," + k + "," + v + "}";
}

std::string error_of(const std::vector<std::byte>& bytes) {
  try {
    parse_safetensors(bytes, "f");
  } catch (const UsageError& error) {
    const std::string text = error.what();
    CHECK(text.find('\n') == std::string::npos);
    CHECK(text.starts_with("f: "));
    return text;
  }
  return "";
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t place = text.find(from);
  REQUIRE(place != std::string::npos);
  return text.replace(place, from.size(), to);
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("q, k and v are read with their shapes and bytes") {
  const auto bytes = file_of(header_of(kQ, kK, kV), 832);
  const AttentionTensors tensors = parse_safetensors(bytes, "f");
  CHECK(tensors.batch == 2);
  CHECK(tensors.q_tokens == 1);
  CHECK(tensors.kv_tokens == 3);
  CHECK(tensors.k.tokens == 6);
  CHECK(tensors.v.dim == 8);
  CHECK(tensors.k.data[0] == std::byte(256 & 0x3F));
  CHECK(tensors.v.data.size() == 192);
}

TEST_CASE("what is wrong is said in one line") {
  const std::string good = header_of(kQ, kK, kV);
  const auto changed = [&](const std::string& from, const std::string& to) {
    return error_of(file_of(replaced(good, from, to), 832));
  };
  CHECK(has(error_of({}), "0 bytes"));
  CHECK(has(error_of(file_of(good, 831)), "cut off"));
  CHECK(has(error_of(file_of(good, 840)), "which has 840"));
  auto cut = file_of(good, 832);
  cut.resize(40);
  CHECK(has(error_of(cut), "cut off"));
  CHECK(has(error_of(file_of("[1]", 0)), "not a JSON object"));
  CHECK(has(error_of(file_of("{\"q\":", 0)), "not JSON"));
  CHECK(has(error_of(file_of(std::string(200000, '['), 0)), "not JSON"));
  CHECK(has(changed("\"v\"", "\"k\""), "twice"));
  CHECK(has(changed("\"v\"", "\"w\""), "no tensor v"));
  CHECK(has(changed("\"v\":{\"dtype\":\"BF16\"", "\"v\":{\"dtype\":\"F8_E4M3\""), "do not make"));
  CHECK(has(changed("\"dtype\":\"BF16\"", "\"dtype\":\"WHAT\""), "unknown"));
  CHECK(has(changed("\"dtype\":\"BF16\"", "\"dtype\":\"I16\""), "expected BF16, F16 or F32"));
  CHECK(has(changed("\"dtype\":\"BF16\"", "\"dtype\":\"F16\""), "expected one type"));
  CHECK(has(changed("\"dtype\":\"BF16\"", "\"dtype\":7"), "expected an object"));
  CHECK(has(changed("[2,1,4,16]", "[2,4,16]"), "[batch, tokens, heads, dim]"));
  CHECK(has(changed("[2,1,4,16]", "[2,1,8,8]"), "do not fit"));
  CHECK(has(changed("[2,1,4,16]", "[-2,1,4,16]"), "whole number"));
  CHECK(has(changed("[2,1,4,16]", "[4294967296,4294967296,4,16]"), "do not make"));
  CHECK(has(changed("[2,1,4,16]", "[4e999,1,4,16]"), "too large"));
  CHECK(has(changed("[256,640]", "[254,638]"), "two tensors or to none"));
  CHECK(has(changed("[640,832]", "[832,640]"), "a beginning and an end"));
  CHECK(has(changed("[640,832]", "[640,18446744073709551615]"), "a beginning and an end"));
  CHECK(has(changed("[640,832]", "[640,832,1]"), "a beginning and an end"));
}
