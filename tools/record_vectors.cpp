// What a device's tensor cores and special functions compute, recorded as hardware vectors.
//
//   record_vectors FOLDER [--device NAME] [--rows N] [--only TEXT] [--dense]
//                         [--against FOLDER] [--json FILE]
//
// A file an instruction, <arch>-<gpu>.<instruction>.<...>.txt; tests/hardware/README.md says what a
// row is. The inputs are the same on every device: --against compares with what another one gave.
// --dense adds regular samples of whole binades, in FOLDER/dense.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <unordered_map>

#include "tools/json_file.hpp"
#include "tools/probe.hpp"
#include "tools/terminal.hpp"
#include "tools/vector_inputs.hpp"

namespace octavo {
namespace {

using json = nlohmann::ordered_json;
using Words = std::vector<std::uint32_t>;

const char* const kTensorCoreText =
#include "probes/tensor_core.inc"
    ;
const char* const kSpecialText =
#include "probes/special.inc"
    ;

struct Options {
  std::filesystem::path folder, against, json_file;
  std::string device = "auto", only;
  int rows = 1024;
  bool dense = false;
};

// a and b of one type, d and c of `accumulator`; k elements are 32 bytes.
struct TensorCore {
  bool wgmma;
  FloatFormat element;
  FloatFormat accumulator;
};

constexpr FloatFormat kBf16{"bf16", 8, 7}, kTf32{"tf32", 8, 23}, kE5m2{"e5m2", 5, 2},
    kE4m3{"e4m3", 4, 3, false};

std::vector<TensorCore> tensor_cores() {
  std::vector<TensorCore> all;
  for (const bool wgmma : {false, true}) {
    for (const FloatFormat& element : {kF16, kBf16, kTf32, kE4m3, kE5m2}) {
      all.push_back({wgmma, element, kF32});
      if (element.name == "f16" || element.name == "e4m3") all.push_back({wgmma, element, kF16});
    }
  }
  return all;
}

// A function of one number, its exponents of interest, and those of which --dense takes a regular
// sample: 2^23 / stride inputs of each binade.
struct Special {
  std::string_view opcode;
  int low, high;
  int dense_low = 0, dense_high = -1, stride = 64;
  bool negative = false;  // the dense inputs

  bool of_halves() const { return opcode.ends_with("x2"); }
};

constexpr Special kSpecials[] = {
    {"ex2.approx.ftz.f32", -30, 7, -26, -13, 512, true},
    {"ex2.approx.f32", -26, 7},
    {"lg2.approx.ftz.f32", -126, 127, -126, 127, 4096},
    {"lg2.approx.f32", -128, 127},
    {"rcp.approx.ftz.f32", -126, 127},
    {"rcp.approx.f32", -128, 127},
    {"rsqrt.approx.ftz.f32", -126, 127},
    {"rsqrt.approx.f32", -128, 127},
    {"sqrt.approx.ftz.f32", -126, 127},
    {"sqrt.approx.f32", -128, 127},
    {"sin.approx.ftz.f32", -16, 12, -12, 3, 64},
    {"sin.approx.f32", -128, 12},
    {"cos.approx.ftz.f32", -16, 12, -12, 3, 64},
    {"cos.approx.f32", -128, 12},
    {"tanh.approx.f32", -16, 4, -12, 3, 32},
    {"ex2.approx.f16x2", 0, 0},
    {"ex2.approx.ftz.bf16x2", 0, 0},
    {"tanh.approx.f16x2", 0, 0},
    {"tanh.approx.bf16x2", 0, 0},
};

std::uint64_t seed_of(std::string_view name) {
  std::uint64_t hash = 0xCBF29CE484222325u;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return hash;
}

Buffer upload(const Device& device, const Words& words) {
  Buffer buffer(device, words.size() * sizeof words[0]);
  buffer.upload(words.data(), buffer.bytes());
  return buffer;
}

Words download(const Buffer& buffer) {
  Words words(buffer.bytes() / sizeof(std::uint32_t));
  buffer.download(words.data(), buffer.bytes());
  return words;
}

// Element `index` of packed elements of `bytes` bytes.
std::uint32_t element(const Words& words, std::size_t index, std::size_t bytes) {
  const std::size_t bit = index * bytes * 8;
  return words[bit / 32] >> bit % 32 & static_cast<std::uint32_t>((1ull << bytes * 8) - 1);
}

template <typename Draw>
Words draw_packed(std::size_t elements, std::size_t bytes, const Draw& draw) {
  Words words(elements * bytes / 4);
  for (std::size_t i = 0; i < elements; ++i) words[i * bytes / 4] |= draw() << i * bytes % 4 * 8;
  return words;
}

std::string hex(std::uint32_t bits, std::size_t bytes) {
  return fmt::format("{:0{}x}", bits, 2 * bytes);
}

class Recorder {
 public:
  explicit Recorder(const Options& options)
      : options_(options), device_(Device::open(options.device)) {
    std::filesystem::create_directories(options.folder);
  }

  // 0, 1 where a row differs from the other folder's, 3 where the device could not run something.
  int record() {
    for (const Special& special : kSpecials) {
      attempt(std::string(special.opcode),
              [&](const auto& name) { record_special(special, name); });
    }
    for (const TensorCore& core : tensor_cores()) {
      const std::string name = fmt::format("{}.{}.{}", core.wgmma ? "wgmma" : "mma_sync",
                                           core.element.name, core.accumulator.name);
      attempt(name, [&](const auto& of) { record_tensor_core(core, of); });
    }
    fmt::print("{}\n\n{}", device_.name(), table(rows_));
    return failed_ ? 3 : differs_ ? 1 : 0;
  }

 private:
  template <typename Work>
  void attempt(const std::string& name, const Work& work) {
    if (name.find(options_.only) == std::string::npos) return;
    try {
      work(name);
    } catch (const EnvironmentError& error) {
      failed_ = true;
      fmt::print(stderr, "record_vectors: {}: {}\n", name, error.what());
      report_.push_back({{"instruction", name}, {"error", error.what()}});
      write_report();
    }
  }

  // "sm_90-h100.": the device's architecture, and its name's word after "NVIDIA".
  std::string prefix() const {
    std::string gpu = device_.name();
    if (gpu.starts_with("NVIDIA ")) gpu.erase(0, 7);
    gpu.resize(std::min(gpu.find_first_of(" -"), gpu.size()));
    for (char& c : gpu) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return fmt::format("sm_{}-{}.", device_.compute_capability(), gpu);
  }

  void record_tensor_core(const TensorCore& core, const std::string& name) {
    const auto bytes = static_cast<std::size_t>(core.element.bits() / 8);
    const std::size_t k = 32 / bytes, height = core.wgmma ? 64 : 16, width = 8;
    const auto d_bytes = static_cast<std::size_t>(core.accumulator.bits() / 8);
    const auto type = core.element.name, accumulator = core.accumulator.name;
    const bool halves = core.element.bits() == 16;
    const std::string text =
        fmt::format("#define WGMMA {}\n#define ACCUMULATORS {}\n#define IMMEDIATES \"{}\"\n",
                    static_cast<int>(core.wgmma), d_bytes, halves ? ", 1, 1, 0, 0" : ", 1, 1") +
        (core.wgmma
             ? fmt::format(
                   "#define INSTRUCTION \"wgmma.mma_async.sync.aligned.m64n8k{}.{}.{}.{}\"\n", k,
                   accumulator, type, type)
             : fmt::format(
                   "#define INSTRUCTION \"mma.sync.aligned.m16n8k{0}.row.col.{1}.{2}.{2}.{1}\"\n",
                   k, accumulator, type)) +
        kTensorCoreText;

    const auto rows = static_cast<std::size_t>(options_.rows);
    // Each matrix from numbers of its own: a shorter file is the beginning of a longer one.
    std::uint64_t seed = seed_of(name);
    const auto draw = [&](std::size_t elements_each, std::size_t size, const FloatFormat& format,
                          auto function) {
      Random random(++seed);
      std::size_t drawn = 0;
      return draw_packed(rows * elements_each, size, [&] {
        const auto kind = static_cast<InputKind>(drawn++ / elements_each % kInputKinds);
        return function(random, format, kind);
      });
    };
    const Words a = draw(height * k, bytes, core.element, draw_element);
    const Words b = draw(width * k, bytes, core.element, draw_element);
    const Words c = draw(height * width, d_bytes, core.accumulator, draw_accumulator);

    const Probe probe(device_, text, "probe");
    const Buffer device_a = upload(device_, a), device_b = upload(device_, b);
    const Buffer device_c = upload(device_, c), device_d = upload(device_, Words(c.size(), ~0u));
    probe.launch(static_cast<unsigned>(rows), core.wgmma ? 128 : 32, nullptr, device_a.address(),
                 device_b.address(), device_c.address(), device_d.address());
    device_.synchronize();
    const Words d = download(device_d);

    std::vector<std::string> lines;
    Random random(++seed);
    for (std::size_t row = 0; row < rows; ++row) {
      // One output of each instruction, so that a short file has as many inputs as can be.
      const std::size_t m = random.next() % height, n = random.next() % width;
      std::string line;
      for (std::size_t i = 0; i < k; ++i)
        line += hex(element(a, (row * height + m) * k + i, bytes), bytes);
      line += ' ';
      for (std::size_t i = 0; i < k; ++i)
        line += hex(element(b, (row * width + n) * k + i, bytes), bytes);
      const std::size_t output = (row * height + m) * width + n;
      lines.push_back(line + ' ' + hex(element(c, output, d_bytes), d_bytes) + ' ' +
                      hex(element(d, output, d_bytes), d_bytes));
    }
    write(name, lines);
  }

  Words evaluate(const Special& special, const Words& x) {
    const std::string text = fmt::format("#define INSTRUCTION \"{}\"\n#define REGISTER \"{}\"\n",
                                         special.opcode, special.of_halves() ? ".b32" : ".f32") +
                             kSpecialText;
    const Probe probe(device_, text, "probe");
    const Buffer device_x = upload(device_, x), device_y = upload(device_, Words(x.size(), ~0u));
    constexpr unsigned kThreads = 256;
    const auto count = static_cast<unsigned>(x.size());
    probe.launch((count + kThreads - 1) / kThreads, kThreads, nullptr, device_x.address(),
                 device_y.address(), count);
    device_.synchronize();
    return download(device_y);
  }

  void record_special(const Special& special, const std::string& name) {
    Words x;
    if (special.of_halves()) {
      for (std::uint32_t i = 0; i < 0x8000; ++i) x.push_back((2 * i + 1) << 16 | 2 * i);
    } else {
      Random random(seed_of(name));
      for (int row = 0; row < options_.rows; ++row) {
        x.push_back(row % 32 == 0 ? draw_special(random, kF32)
                                  : draw_number(random, kF32, special.low, special.high));
      }
    }
    const Words y = evaluate(special, x);
    const std::size_t bytes = special.of_halves() ? 2 : 4;
    std::vector<std::string> lines;
    for (std::size_t i = 0; i < x.size() * 4 / bytes; ++i)
      lines.push_back(hex(element(x, i, bytes), bytes) + ' ' + hex(element(y, i, bytes), bytes));
    write(name, lines);
    if (options_.dense) {
      for (int exponent = special.dense_low; exponent <= special.dense_high; ++exponent)
        record_binade(special, exponent);
    }
  }

  // The results alone, little-endian words, by increasing magnitude of the inputs.
  void record_binade(const Special& special, int exponent) {
    Words x;
    const std::uint32_t first = (special.negative ? 1u << 31 : 0) |
                                static_cast<std::uint32_t>(exponent + kF32.bias()) << 23;
    for (std::uint32_t i = 0; i < 1u << 23; i += static_cast<std::uint32_t>(special.stride))
      x.push_back(first | i);
    const Words y = evaluate(special, x);
    const auto folder = options_.folder / "dense" / special.opcode;
    std::filesystem::create_directories(folder);
    std::ofstream file(folder / fmt::format("{}{}.every{}.u32", special.negative ? 'm' : 'p',
                                            exponent, special.stride),
                       std::ios::binary);
    file.write(reinterpret_cast<const char*>(y.data()),
               static_cast<std::streamsize>(y.size() * sizeof y[0]));
    if (!file) throw EnvironmentError("cannot write in " + options_.folder.string());
  }

  void write(const std::string& name, const std::vector<std::string>& lines) {
    std::ofstream file(options_.folder / (prefix() + name + ".txt"));
    for (const std::string& line : lines) file << line << '\n';
    if (!file.flush()) throw EnvironmentError("cannot write in " + options_.folder.string());
    report(name, lines);
  }

  // With --against: how many of the other folder's rows there are, and how many are otherwise here.
  void report(const std::string& name, const std::vector<std::string>& lines) {
    json row = {{"instruction", name}, {"rows", lines.size()}};
    rows_.push_back({name, fmt::to_string(lines.size()), "-", "-"});
    if (const auto other = find_other(name); !other.empty()) {
      const auto inputs = [](const std::string& line) { return line.substr(0, line.rfind(' ')); };
      std::unordered_map<std::string, std::string> here;
      for (const std::string& line : lines) here[inputs(line)] = line;
      std::ifstream stream(other);
      std::size_t compared = 0, different = 0;
      for (std::string there; std::getline(stream, there); ++compared) {
        const std::string& found = here[inputs(there)];
        if (found == there) continue;
        if (different++ == 0) row["first"] = {{"here", found}, {"there", there}};
      }
      row["compared"] = compared, row["different"] = different;
      rows_.back()[2] = fmt::to_string(compared), rows_.back()[3] = fmt::to_string(different);
      differs_ |= different > 0;
    }
    report_.push_back(std::move(row));
    write_report();
  }

  std::filesystem::path find_other(const std::string& name) const {
    if (options_.against.empty()) return {};
    for (const auto& entry : std::filesystem::directory_iterator(options_.against)) {
      const std::string file = entry.path().filename();
      if (file.substr(file.find('.') + 1) == name + ".txt") return entry.path();
    }
    return {};
  }

  // As far as it has come, so that a recorder that is stopped leaves what it knows.
  void write_report() const {
    write_json(options_.json_file, {{"device", device_.name()}, {"instructions", report_}});
  }

  Options options_;
  Device device_;
  bool failed_ = false, differs_ = false;
  json report_ = json::array();
  std::vector<std::vector<std::string>> rows_ = {{"instruction", "rows", "compared", "different"}};
};

}  // namespace
}  // namespace octavo

int main(int argc, char** argv) {
  octavo::Options options;
  CLI::App app("Records what a device's tensor cores and special functions compute");
  app.add_option("FOLDER", options.folder, "Where the vectors go")->required();
  app.add_option("--device", options.device, "As octavo run takes it")->capture_default_str();
  app.add_option("--rows", options.rows, "Of each instruction; the halves' have all 2^16")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app.add_option("--only", options.only, "Instructions whose name has this in it");
  app.add_flag("--dense", options.dense, "Regular samples of whole binades too, as words");
  app.add_option("--against", options.against, "Compare with the vectors in this folder")
      ->check(CLI::ExistingDirectory);
  app.add_option("--json", options.json_file, "Write the counts here");
  CLI11_PARSE(app, argc, argv);
  try {
    return octavo::Recorder(options).record();
  } catch (const std::exception& error) {
    fmt::print(stderr, "record_vectors: {}\n", error.what());
    return 3;
  }
}
