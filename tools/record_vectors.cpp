// What a device's tensor cores and special functions compute, recorded as hardware vectors.
//
//   record_vectors FOLDER [--device NAME] [--rows N] [--only TEXT] [--dense]
//                         [--against FOLDER] [--json FILE]
//
// A file an instruction, <arch>-<gpu>.<instruction>.<...>.txt; tests/hardware/README.md says what a
// row is. The inputs are the same on every device: --against compares with what another one gave.
// --dense adds regular samples of whole binades, in FOLDER/dense: the results alone, as
// little-endian words.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <set>
#include <unordered_map>

#include "tools/instructions.hpp"
#include "tools/json_file.hpp"
#include "tools/terminal.hpp"

namespace octavo {
namespace {

using json = nlohmann::ordered_json;

struct Options {
  std::filesystem::path folder, against, json_file;
  std::string device = "auto", only;
  int rows = 1024;
  bool dense = false;
};

class Recorder {
 public:
  explicit Recorder(const Options& options)
      : options_(options), device_(Device::open(options.device)) {
    std::filesystem::create_directories(options.folder);
  }

  // 0, 1 where a row differs from the other folder's or was not compared, 3 where the device could
  // not run something.
  int record() {
    for (const Special& special : specials()) {
      attempt(std::string(special.opcode), [&](const std::string& name) {
        write(name, octavo::record(device_, special, options_.rows));
        if (options_.dense) record_dense(special);
      });
    }
    for (const TensorCore& core : tensor_cores()) {
      attempt(core.name(), [&](const std::string& name) {
        write(name, octavo::record(device_, core, options_.rows));
      });
    }
    fmt::print("{}\n\n{}", device_.name(), table(rows_));
    return failed_ ? 3 : differs_ || leaves_out() ? 1 : 0;
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

  void record_dense(const Special& special) {
    for (int exponent = special.dense_low; exponent <= special.dense_high; ++exponent) {
      const std::vector<std::uint32_t> results = record_binade(device_, special, exponent);
      const auto folder = options_.folder / "dense" / special.opcode;
      std::filesystem::create_directories(folder);
      std::ofstream file(folder / fmt::format("{}{}.every{}.u32", special.negative ? 'm' : 'p',
                                              exponent, special.stride),
                         std::ios::binary);
      file.write(reinterpret_cast<const char*>(results.data()),
                 static_cast<std::streamsize>(results.size() * sizeof results[0]));
      if (!file.flush()) throw EnvironmentError("cannot write in " + folder.string());
    }
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
      if (compared > 0) compared_.insert(other.filename());
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

  // Whether nothing was compared, or not all that a device of this name gave.
  bool leaves_out() const {
    if (options_.against.empty()) return false;
    bool leaves_out = compared_.empty();
    if (leaves_out) {
      fmt::print(stderr, "record_vectors: {}: nothing there is of an instruction here\n",
                 options_.against.string());
    }
    for (const auto& entry : std::filesystem::directory_iterator(options_.against)) {
      const std::string file = entry.path().filename();
      if (!file.starts_with(prefix()) || file.find(options_.only) == std::string::npos ||
          compared_.contains(file)) {
        continue;
      }
      fmt::print(stderr, "record_vectors: {}: no row of it was compared\n", entry.path().string());
      leaves_out = true;
    }
    return leaves_out;
  }

  // As far as it has come, so that a recorder that is stopped leaves what it knows.
  void write_report() const {
    write_json(options_.json_file, {{"device", device_.name()}, {"instructions", report_}});
  }

  Options options_;
  Device device_;
  bool failed_ = false, differs_ = false;
  std::set<std::string> compared_;  // files of the other folder
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
