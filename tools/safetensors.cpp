#include "tools/safetensors.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "runtime/error.hpp"
#include "tools/file.hpp"

namespace octavo {
namespace {

using nlohmann::json;
using reference::Tensor;

constexpr std::uint64_t kMostHeaderBytes = 100'000'000;  // the format's own limit
constexpr std::uint64_t kMostElements = std::numeric_limits<std::int32_t>::max();  // of an axis

struct ElementType {
  const char* name;
  std::uint64_t bytes;
  std::optional<DataType> type;  // of those that attention takes
};
constexpr ElementType kElementTypes[] = {
    {"BF16", 2, DataType::bf16},
    {"F16", 2, DataType::fp16},
    {"F32", 4, DataType::fp32},
    {"F64", 8, {}},
    {"I64", 8, {}},
    {"U64", 8, {}},
    {"I32", 4, {}},
    {"U32", 4, {}},
    {"I16", 2, {}},
    {"U16", 2, {}},
    {"I8", 1, {}},
    {"U8", 1, {}},
    {"BOOL", 1, {}},
    {"F8_E4M3", 1, {}},
    {"F8_E5M2", 1, {}},
};

struct Entry {
  ElementType type;
  std::vector<std::uint64_t> shape;
  std::uint64_t begin, end;  // from the end of the header
};

class Reader {
 public:
  Reader(std::span<const std::byte> bytes, const std::string& file) : bytes_(bytes), file_(file) {}

  AttentionTensors read() {
    read_header();
    check_layout();
    AttentionTensors tensors{.q = tensor("q"), .k = tensor("k"), .v = tensor("v")};
    const auto &q = entries_.at("q").shape, &k = entries_.at("k").shape,
               &v = entries_.at("v").shape;
    if (q[0] != k[0] || k[0] != v[0] || k[1] != v[1] || k[2] != v[2] || q[3] != k[3]) {
      fail(
          "q, k and v do not fit each other: their shapes are [{}], [{}] and [{}]; expected the "
          "same batch, the same dim of q and k, and the same tokens and heads of k and v",
          fmt::join(q, ", "), fmt::join(k, ", "), fmt::join(v, ", "));
    }
    if (q[1] > k[1]) {
      fail("q has {} tokens and k {}; expected at most as many, they are the last ones", q[1],
           k[1]);
    }
    if (tensors.q.type != tensors.k.type || tensors.k.type != tensors.v.type) {
      fail("q, k and v are {}, {} and {}; expected one type", entries_.at("q").type.name,
           entries_.at("k").type.name, entries_.at("v").type.name);
    }
    tensors.batch = q[0];
    tensors.q_tokens = q[1];
    tensors.kv_tokens = k[1];
    return tensors;
  }

 private:
  template <typename... Arguments>
  [[noreturn]] void fail(fmt::format_string<Arguments...> format, Arguments&&... arguments) const {
    throw UsageError(file_ + ": " + fmt::format(format, std::forward<Arguments>(arguments)...));
  }

  void read_header() {
    std::uint64_t size = 0;
    if (bytes_.size() < sizeof size) {
      fail("{} bytes; expected a safetensors file, whose first 8 are the header's size",
           bytes_.size());
    }
    std::memcpy(&size, bytes_.data(), sizeof size);
    const std::uint64_t rest = bytes_.size() - sizeof size;
    if (size > std::min(rest, kMostHeaderBytes)) {
      fail(
          "the header's size is {}, but the file has {} bytes after it; not a safetensors file, or "
          "cut off",
          size, rest);
    }
    data_ = bytes_.subspan(sizeof size + size);
    const auto* text = reinterpret_cast<const char*>(bytes_.data()) + sizeof size;
    const json header = parse(text, text + size);
    if (!header.is_object()) fail("the header is not a JSON object");
    for (const auto& [name, value] : header.items()) {
      if (name != "__metadata__") entries_.emplace(name, entry(printable(name), value));
    }
  }

  json parse(const char* begin, const char* end) const {
    std::set<std::string> names;
    const auto no_twins = [&](int depth, json::parse_event_t event, const json& parsed) {
      if (depth == 1 && event == json::parse_event_t::key &&
          !names.insert(parsed.get<std::string>()).second) {
        fail("tensor {} is there twice", printable(parsed.get<std::string>()));
      }
      return true;
    };
    try {
      return json::parse(begin, end, no_twins);
    } catch (const json::parse_error& error) {
      fail("the header is not JSON: an error at its byte {}", error.byte);
    } catch (const json::out_of_range&) {
      fail("the header has a number that is too large");
    }
  }

  Entry entry(const std::string& name, const json& value) const {
    const bool whole = value.is_object() && value.contains("dtype") && value["dtype"].is_string() &&
                       value.contains("shape") && value["shape"].is_array() &&
                       value.contains("data_offsets") && value["data_offsets"].is_array();
    if (!whole) fail("tensor {}: expected an object with dtype, shape and data_offsets", name);
    const auto type_name = value["dtype"].get<std::string>();
    const auto* type = std::find_if(std::begin(kElementTypes), std::end(kElementTypes),
                                    [&](const ElementType& row) { return row.name == type_name; });
    if (type == std::end(kElementTypes)) {
      fail("tensor {}: the dtype {} is unknown", name, printable(type_name));
    }
    const auto offsets = numbers(name, "data_offsets", value["data_offsets"]);
    if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > data_.size()) {
      fail(
          "tensor {}: data_offsets are [{}]; expected a beginning and an end within the {} bytes "
          "of "
          "data; the file may be cut off",
          name, fmt::join(offsets, ", "), data_.size());
    }
    Entry entry{*type, numbers(name, "shape", value["shape"]), offsets[0], offsets[1]};
    check_size(name, entry);
    return entry;
  }

  std::vector<std::uint64_t> numbers(const std::string& name, const char* key,
                                     const json& values) const {
    std::vector<std::uint64_t> result;
    for (const json& value : values) {
      if (!value.is_number_unsigned()) {
        fail("tensor {}: {} holds something other than a whole number from 0", name, key);
      }
      result.push_back(value.get<std::uint64_t>());
    }
    return result;
  }

  void check_size(const std::string& name, const Entry& entry) const {
    std::uint64_t bytes = entry.type.bytes;
    bool overflow = false;
    for (const std::uint64_t size : entry.shape) {
      overflow = overflow || __builtin_mul_overflow(bytes, size, &bytes);
    }
    if (overflow || bytes != entry.end - entry.begin) {
      fail("tensor {}: {} bytes of data do not make the shape [{}] of {}", name,
           entry.end - entry.begin, fmt::join(entry.shape, ", "), entry.type.name);
    }
  }

  // The tensors follow each other without holes or overlaps and fill the file.
  void check_layout() const {
    std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
    for (const auto& [name, entry] : entries_) ranges.emplace_back(entry.begin, entry.end);
    std::sort(ranges.begin(), ranges.end());
    std::uint64_t filled = 0;
    for (const auto& [begin, end] : ranges) {
      if (begin != filled)
        fail("byte {} of the data belongs to two tensors or to none", std::min(begin, filled));
      filled = end;
    }
    if (filled != data_.size()) {
      fail("the tensors end at byte {} of the data, which has {}", filled, data_.size());
    }
  }

  Tensor tensor(const std::string& name) const {
    const auto found = entries_.find(name);
    if (found == entries_.end()) fail("there is no tensor {}; expected q, k and v", name);
    const Entry& entry = found->second;
    if (!entry.type.type) fail("tensor {} is {}; expected BF16, F16 or F32", name, entry.type.name);
    const auto unfit = [](std::uint64_t size) { return size == 0 || size > kMostElements; };
    if (entry.shape.size() != 4 || std::any_of(entry.shape.begin(), entry.shape.end(), unfit)) {
      fail("tensor {} has the shape [{}]; expected [batch, tokens, heads, dim], none of them 0",
           name, fmt::join(entry.shape, ", "));
    }
    Tensor tensor(*entry.type.type, entry.shape[0] * entry.shape[1], entry.shape[2],
                  entry.shape[3]);
    std::memcpy(tensor.data.data(), data_.data() + entry.begin, tensor.data.size());
    return tensor;
  }

  // A name from the file, fit for one line of a terminal.
  static std::string printable(const std::string& name) {
    constexpr std::size_t kMost = 40;
    std::string text = name.substr(0, kMost);
    for (char& c : text) {
      if (c < ' ' || c > '~') c = '?';
    }
    return '"' + text + (name.size() > kMost ? "...\"" : "\"");
  }

  std::span<const std::byte> bytes_, data_;
  const std::string& file_;
  std::map<std::string, Entry> entries_;
};

}  // namespace

AttentionTensors parse_safetensors(std::span<const std::byte> bytes, const std::string& file) {
  return Reader(bytes, file).read();
}

AttentionTensors read_safetensors(const std::filesystem::path& file) {
  const std::string bytes = read_file(file);
  return parse_safetensors(std::as_bytes(std::span(bytes)), file.string());
}

}  // namespace octavo
